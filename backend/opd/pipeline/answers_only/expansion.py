"""Expansion: the teacher writes more prompts of the same kind; what may not be trained on is taken out.

In: the training prompts. Out: a workbench with the written prompts behind them. Kept in `stages/expansion.json` with
everything that was removed and why; a person may strike any of them before they are answered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import ceil
from typing import Any

from opd.data_loader import PromptRecord, prompt_id
from opd.data_loader.records import Message
from opd.errors import PausedForReviewError
from opd.pipeline.answers_only.desk import (
    STRUCTURED_TOKENS,
    NothingWrittenError,
    chat_of,
    instruct,
    last_words,
    replies_in_lines,
    set_aside_words,
    tell,
)
from opd.pipeline.workbench import Workbench
from opd.store.written import STRUCK, struck_prompts
from opd.teachers.chat import Ask
from opd.teachers.tasks.asking import Reading, SetAside, ask_and_read
from opd.teachers.tasks.writing import Sieve, diversity, pick_examples, read_written, sift, write_message
from opd.training.plan import derive_seed

_ROUNDS = 4
_SEEDS = 2**31  # some providers take no larger ones
_SPARE = 1.25  # asked for beyond what is still missing, since some of it will be removed
_REMOVED_WORDS = {  # of one, of several
    "copy": ("copy", "copies"),
    "near_copy": ("near copy", "near copies"),
    "held_out": ("too close to a held-out prompt", "too close to held-out prompts"),
}


def expand(bench: Workbench) -> Workbench:
    """The same run with more training prompts.

    Raises:
        PausedForReviewError: the person wants to read them first; a resumed run goes on.
        NothingWrittenError: not one usable prompt came back.
        BudgetReachedError, TeacherError: from asking.
    """
    wanted = bench.config.expansion.num_prompts
    if not wanted:
        return bench
    kept = bench.results.once("expansion", lambda: _write(bench))
    texts: list[str] = kept["kept"]
    if not texts:
        raise NothingWrittenError(
            f"The teacher wrote no usable prompt in {kept['requests']} requests.",
            hint="Read what it wrote in the run's stages/expansion.json; or set expansion.num_prompts to 0.",
        )
    struck = struck_prompts(bench.folder.path)
    if bench.config.expansion.review and bench.results.get("expansion_review") is None:
        bench.results.put("expansion_review", {"offered": len(texts)})
        raise PausedForReviewError(
            f"{len(texts)} written prompts wait for your eyes.",
            hint=f"Strike what you do not want (in the studio, or by number in {STRUCK}), then resume.",
        )
    used = [text for number, text in enumerate(texts) if number not in struck]
    _tell(bench, kept, len(used))
    frame = _frame(bench.prompts.train)
    records = [_record(frame, text) for text in used]
    prompts = replace(bench.prompts, train=[*bench.prompts.train, *records])
    return replace(bench, prompts=prompts, train_ids=[*bench.train_ids, *bench.encode(records)])


def _write(bench: Workbench) -> dict[str, Any]:
    wanted = bench.config.expansion.num_prompts
    own = [last_words(record) for record in bench.prompts.train]
    held_out = [last_words(record) for record in (*bench.prompts.reserved, *bench.prompts.validation)]
    sieve = Sieve(own, held_out)
    kept, removed, problems = list[str](), dict[str, list[str]](), list[SetAside]()
    bench.reporter.phase("expanding", total=wanted, unit="prompts")
    num_asked = 0
    for _ in range(_ROUNDS):
        asks, readings = _one_round(bench, own, first=num_asked, num_before=len(kept))
        num_asked += len(asks)
        problems += [reading.problem for reading in readings if reading.problem is not None]
        harvest = sift((text for r in readings for text in r.value or ()), sieve, wanted=wanted - len(kept))
        kept += harvest.kept
        for reason, texts in harvest.removed.items():
            removed.setdefault(reason, []).extend(texts)
        if len(kept) >= wanted:
            break
    return {
        "kept": kept,
        "removed": removed,
        "set_aside": [vars(problem) for problem in problems],
        "requests": num_asked,
        "diversity": diversity(kept, own).as_dict(),
    }


def _one_round(
    bench: Workbench, own: list[str], *, first: int, num_before: int
) -> tuple[list[Ask], list[Reading[list[str]]]]:
    """Ask for what is still missing and some more; every request shows other examples."""
    config, wanted, lines = bench.config, bench.config.expansion.num_prompts, replies_in_lines(bench)
    each = 1 if lines else config.expansion.per_request
    limit = config.sampling.max_completion_tokens if lines else STRUCTURED_TOKENS
    asks = list[Ask]()
    for request in range(first, first + ceil((wanted - num_before) * _SPARE / each)):
        form, message = write_message(pick_examples(own, request, config.seed), count=each, in_lines=lines)
        # A seed of its own: with one for all, a small teacher that honours it writes the same prompt to any examples.
        seed = derive_seed("expand", config.seed, request) % _SEEDS
        asks.append(instruct(form, message, temperature=1.0, purpose="expand", max_tokens=limit, seed=seed))

    def progress(done: int, total: int | None) -> None:
        bench.reporter.progress(min(wanted, num_before + done * each), wanted)

    readings = ask_and_read(
        chat_of(bench).chat,
        asks,
        lambda _, reply: read_written(reply, in_lines=lines),
        stage="expansion",
        ask_again=not lines,
        progress=progress,
    )
    return asks, readings


def _tell(bench: Workbench, kept: dict[str, Any], num_used: int) -> None:
    removed = {reason: len(texts) for reason, texts in kept["removed"].items() if reason in _REMOVED_WORDS}
    listed = ", ".join(f"{num} {_REMOVED_WORDS[reason][num != 1]}" for reason, num in sorted(removed.items()))
    struck = len(kept["kept"]) - num_used
    words = (
        f"The teacher wrote {num_used:,} new prompts of the same kind"
        + (f"; you struck {struck} more" if struck else "")
        + (f"; taken out: {listed}" if listed else "")
        + "."
        + set_aside_words([SetAside(**problem) for problem in kept["set_aside"]])
    )
    tell(bench, "expansion", words, written=num_used, struck=struck, requests=kept["requests"], **kept["diversity"])


def _frame(records: list[PromptRecord]) -> list[Message]:
    """What stands before the question in most prompts: their common system message, or nothing."""
    systems = Counter(m["content"] for r in records for m in r.messages[:1] if m["role"] == "system")
    text, num = systems.most_common(1)[0] if systems else ("", 0)
    return [{"role": "system", "content": text}] if 2 * num > len(records) else []


def _record(frame: list[Message], text: str) -> PromptRecord:
    messages: list[Message] = [*frame, {"role": "user", "content": text}]
    return PromptRecord(id=prompt_id(messages), messages=tuple(messages), answer=None, line=0)
