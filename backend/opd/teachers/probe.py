"""What this teacher can do for this student, found out live, and whether the two fit together: before a run.

In: a configuration, and the provider's key if there is one. Out: `ProbeReport`: rows (ok, warn, fail; a fail blocks
the start) and one finding in words. Nothing is concluded from a provider's or a model's name. No weights are loaded
and no ML package but for the share of positions across two tokenizers, so it runs in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from opd.config import ChatTeacher, GoldObjective, LocalTeacher, RunConfig, ServerTeacher, SignalKind
from opd.data_loader import load_prompts
from opd.errors import DataError, ModelMismatchError, ModelNotFoundError, OPDError, PriceUnknownError
from opd.hub_cache import local_folder, local_tokenizer
from opd.teachers.base import FewerListedError, Rollouts
from opd.teachers.pair_checks import GOLD_ACROSS, PROBE_CONVERSATIONS, PROBE_TEXTS, Pair, Row, check_context, check_pair
from opd.teachers.probe_report import ANSWERS_ONLY, ProbeReport, ProbeRow, across_words, listed_words
from opd.teachers.probe_share import plan_texts, share_of_positions, share_of_served
from opd.teachers.scoring_server import DEFAULT_TOP_K, Pays, ScoringServer
from opd.teachers.server_price import price_of_server
from opd.teachers.token_texts import TokenizerTexts
from opd.teachers.tokenizer_folder import TokenizerFolder

_LONGEST_PROMPTS_READ = 8
_PROBE_ATTEMPTS = 2
_PROBE_TIMEOUT_S = 30.0
_LEAST_SHARE = 0.5  # below this most of what the student writes goes unseen


@dataclass
class _Probe:
    config: RunConfig
    key: str | None
    across: bool
    strict: bool
    pays: Pays | None = None
    rows: list[Row] = field(default_factory=list)
    signal: SignalKind | None = None
    finding: str = ""
    top_k: int | None = None
    share: float | None = None
    pair: Pair | None = None
    teacher_context: int = 0
    should_stop: Callable[[], bool] = lambda: False


def probe(
    config: RunConfig,
    *,
    key: str | None = None,
    strict: bool = False,
    pays: Pays | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ProbeReport:
    """Look at everything; a failed look does not keep the others from being taken, unless `strict`.

    Args:
        key: of the teacher's provider; never repeated in the report.
        strict: raise the first failure instead of reporting it: what a run does before its first step.
        pays: books what a server that charges is sent; None: such a server is sent nothing that costs money.
        should_stop: see `HttpClient`.

    Raises:
        OPDError: with `strict`, what failed; else nothing.
    """
    started = time.monotonic()
    work = _Probe(config, key, config.objective.across_tokenizers, strict, pays, should_stop=should_stop)
    if isinstance(config.teacher, ChatTeacher):
        _chat(work)
    else:
        work.pair = _load_pair(work)
        if work.pair is not None:
            work.rows += check_pair(work.pair)
            refuse(work.rows, strict)
        if isinstance(config.teacher, ServerTeacher):
            _server(work, config.teacher)
        else:
            work.signal = "distribution" if work.pair is not None else None
        if work.pair is not None:
            _look(work, "context", "Context length", lambda: _context(work))
            _look(work, "positions", "Positions", lambda: _positions(work))
            if isinstance(config.objective, GoldObjective) and not work.pair.same_tokenizer:
                work.rows.append(GOLD_ACROSS)
            _words(work)
    refuse(work.rows, strict)
    return ProbeReport(
        finding=work.finding,
        signal=work.signal,
        top_k=work.top_k,
        same_tokenizer=work.pair.same_tokenizer if work.pair else None,
        share_of_positions=work.share,
        rows=[ProbeRow(**vars(row)) for row in work.rows],
        duration_s=time.monotonic() - started,
    )


def _look(work: _Probe, name: str, title: str, look: Callable[[], Row]) -> bool:
    """Take a look; its error becomes a failed row. Whether it did not fail."""
    try:
        row = look()
    except OPDError as error:
        if work.strict:
            raise
        row = Row(name, "fail", error.code, title, error.message, error.hint)
    work.rows.append(row)
    return row.status != "fail"


def refuse(rows: Sequence[Row], strict: bool = True) -> None:
    """Raise the first failed row as an error, if `strict`.

    Raises:
        ModelMismatchError: in the row's words.
    """
    failed = next((row for row in rows if row.status == "fail"), None)
    if strict and failed is not None:
        raise ModelMismatchError(failed.detail, hint=failed.fix, details={"found": failed.code})


def _load_pair(work: _Probe) -> Pair | None:
    student, teacher = work.config.student.model, work.config.teacher
    names = {"student": student}
    if isinstance(teacher, LocalTeacher):
        names["teacher"] = teacher.model
    elif isinstance(teacher, ServerTeacher) and teacher.tokenizer is not None:
        names["teacher"] = teacher.tokenizer
    found: dict[str, TokenizerFolder] = {}
    for who, model in names.items():
        alone = who == "teacher" and isinstance(teacher, ServerTeacher)
        _look(work, who, who.capitalize(), partial(_load, found, who, model, alone=alone))
    if found.keys() != names.keys():
        return None
    # A server without a tokenizer of its own is taken to have the student's; its own words prove it below.
    return Pair(found["student"], found.get("teacher", found["student"]), work.across)


def _load(found: dict[str, TokenizerFolder], who: str, model: str, *, alone: bool) -> Row:
    folder = local_tokenizer(model) if alone else local_folder(model)
    if folder is None:
        raise ModelNotFoundError(
            f"{model} is not on this machine.",
            hint="Give the path of a model folder; an id is looked at once a run has downloaded it.",
        )
    found[who] = TokenizerFolder.load(folder, alone=alone)
    return Row(who, "ok", f"{who}_found", who.capitalize(), f"{Path(model).name}: its tokenizer can be read.")


def _server(work: _Probe, teacher: ServerTeacher) -> None:
    limits = teacher.model_copy(update={"timeout_s": min(teacher.timeout_s, _PROBE_TIMEOUT_S)})
    side = work.pair.teacher if work.pair else None
    with ScoringServer.from_config(
        limits,
        key=work.key,
        top_k=_asked_top_k(work),
        texts=TokenizerTexts(side.text_of, side.vocabulary) if side is not None else None,
        max_attempts=_PROBE_ATTEMPTS,
        should_stop=work.should_stop,
        pays=work.pays,
    ) as server:
        if not _look(work, "server", "Server", lambda: _reach(work, server)):
            return
        if work.pays is None and _charges(work, teacher):
            return  # the run asks before its first step, under its own cap
        if work.pair is None or any(row.status == "fail" for row in work.rows):
            return  # a pair that cannot be used has nothing to be scored
        if not _look(work, "scores", "Scores of given tokens", lambda: _score(work, server)):
            work.signal, work.finding = "text", ANSWERS_ONLY
            return
        if teacher.tokenizer is None:
            _look(work, "server_tokenizer", "Server's tokenizer", lambda: _same_words(work, server))


def _charges(work: _Probe, teacher: ServerTeacher) -> bool:
    """Whether asking costs money; a row says what that means for the start."""
    by_tokens = work.config.budget_tokens is not None
    try:
        if price_of_server(teacher, capped_by_tokens=by_tokens) is None:
            return False
    except PriceUnknownError as error:
        work.rows.append(Row("price", "fail", error.code, "Price", error.message, error.hint))
        return True
    detail = "It charges for what it scores, so nothing was asked yet; the run asks before its first step."
    if work.config.budget_usd is None and not by_tokens:
        fix = "Set budget_usd; the run pauses before it would be passed, and can be resumed."
        work.rows.append(Row("price", "fail", "no_cap", "Price", f"{detail} No spend cap is set.", fix))
    else:
        work.rows.append(Row("price", "ok", "paid", "Price", detail))
    return True


def _asked_top_k(work: _Probe) -> int:
    """As the objective asks; what it could ask where it does not."""
    objective = work.config.objective
    return int(getattr(objective, "top_k", 0 if objective.needs == "token_logprobs" else DEFAULT_TOP_K))


def _reach(work: _Probe, server: ScoringServer) -> Row:
    entry = server.check_model()
    work.teacher_context = int(entry.get("max_model_len") or 0)
    context = f", context {work.teacher_context:,}" if work.teacher_context else ""
    return Row("server", "ok", "server_answers", "Server", f"It answers and offers {server.model}{context}.")


def _score(work: _Probe, server: ScoringServer) -> Row:
    """Score real conversations and see how many tokens are listed at each position."""
    rollouts = _probe_rollouts(work)
    asked = server.top_k
    try:
        signal = server.score(rollouts)
    except FewerListedError as error:
        fewer = error.details.get("listed")
        if work.strict or not isinstance(fewer, int) or fewer < 1:
            raise
        server.top_k = fewer
        signal = server.score(rollouts)
    work.top_k, work.signal = server.top_k, signal.kind
    if work.pair is not None and not work.pair.same_tokenizer:
        work.share = share_of_served(work.pair, _answers(), signal)
    detail = f"It lists {server.top_k} tokens at each position, and they are about the tokens that were sent."
    if server.top_k < asked:
        return Row(
            "scores",
            "fail" if work.config.objective.needs == "topk_logprobs" else "warn",
            "server_lists_fewer",
            "Scores of given tokens",
            f"{detail[:-1]}; {asked} were asked for.",
            f"Set objective.top_k to {server.top_k}, or start the server with a higher limit "
            f"(vLLM: --max-logprobs {asked}).",
        )
    return Row("scores", "ok", "server_scores", "Scores of given tokens", detail)


def _same_words(work: _Probe, server: ScoringServer) -> Row:
    """Whether the server reads the student's ids as the student does."""
    title = "Server's tokenizer"
    pair = _need(work)
    ids = [token for text in PROBE_TEXTS for token in pair.student.encode(text)]
    words = server.words(ids)
    if words is None:
        return Row(
            "server_tokenizer",
            "warn",
            "tokenizer_unproven",
            title,
            "The server does not say what its tokens stand for; it is taken to have the student's tokenizer.",
            "Set teacher.tokenizer to the folder of the teacher's tokenizer, and the pair is compared here.",
        )
    mine = [pair.student.text_of([token]) for token in ids]
    wrong = [
        (a, b)
        for a, b in zip(mine, words, strict=True)
        if b is not None and "�" not in a + b and a.strip() != b.strip()
    ]
    if wrong:
        work.signal, work.finding = None, ""
        return Row(
            "server_tokenizer",
            "fail",
            "server_tokenizer_differs",
            title,
            f"The same token is {wrong[0][0]!r} for the student and {wrong[0][1]!r} for the server.",
            "Set teacher.tokenizer to the folder or id of the server's model: the run then works across tokenizers.",
        )
    return Row(
        "server_tokenizer", "ok", "server_tokenizer_same", title, "Its tokens mean the same text as the student's."
    )


def _context(work: _Probe) -> Row:
    pair = _need(work)
    try:
        records = load_prompts(work.config.data.path)
    except DataError:
        conversations: list[Sequence[Mapping[str, Any]]] = [PROBE_CONVERSATIONS[1]]
    else:
        records.sort(key=lambda record: -sum(len(message["content"]) for message in record.messages))
        conversations = [list(record.messages) for record in records[:_LONGEST_PROMPTS_READ]]
    return check_context(pair, conversations, work.config.sampling.max_completion_tokens, work.teacher_context)


def _chat(work: _Probe) -> None:
    work.signal, work.finding = "text", ANSWERS_ONLY
    work.rows.append(
        Row("teacher", "ok", "chat_teacher", "Teacher", "A chat API: it gives answers, no scores of given tokens.")
    )


def _positions(work: _Probe) -> Row:
    """How many of the student's positions get a target; all with one tokenizer."""
    pair = _need(work)
    if pair.same_tokenizer:
        return Row("positions", "ok", "positions_all", "Positions", "Every token of the student gets a target.")
    if work.share is None:
        work.share = share_of_positions(pair, _answers())
    detail = f"{int(100 * work.share)} % of the student's tokens get a target, on texts of many kinds."
    if work.share < _LEAST_SHARE:
        return Row(
            "positions", "warn", "positions_few", "Positions", detail,
            "Take a teacher whose tokenizer is nearer to the student's, or a server that lists more tokens.",
        )  # fmt: skip
    return Row("positions", "ok", "positions_most", "Positions", detail)


def _words(work: _Probe) -> None:
    """The finding in words, from what was proven."""
    pair = work.pair
    if (
        work.signal in (None, "text")
        or pair is None
        or any(row.status == "fail" and row.code != "server_lists_fewer" for row in work.rows)
    ):
        return
    if pair.same_tokenizer:
        if work.signal == "distribution":
            work.finding = "token by token, full distribution"
        else:
            work.finding = listed_words(work.top_k or 0)
        return
    if work.share is not None:
        work.finding = across_words(work.share)


def _probe_rollouts(work: _Probe) -> Rollouts:
    """The probe's conversations in the teacher's rendering, answered with the probe's texts."""
    pair = _need(work)
    teacher = pair.teacher
    prompts = tuple(tuple(teacher.encode(teacher.render(messages))) for messages in PROBE_CONVERSATIONS)
    if not pair.same_tokenizer:
        return Rollouts(prompts, plan_texts(pair, _answers())[1].teacher_ids)
    end = [token for token in (teacher.end_of_turn,) if token is not None]
    return Rollouts(prompts, tuple((*teacher.encode(text), *end) for text in _answers()))


def _answers() -> tuple[str, ...]:
    """One text for each conversation."""
    return PROBE_TEXTS[: len(PROBE_CONVERSATIONS)]


def _need(work: _Probe) -> Pair:
    """The pair.

    Raises:
        ModelNotFoundError: the tokenizers are not on this machine.
    """
    if work.pair is None:
        raise ModelNotFoundError("The student's tokenizer is not on this machine.", hint="Give its folder.")
    return work.pair
