"""A guide from the teacher, and whether it helps: guided self-teaching is worth a step only where it does.

In: training prompts. Out: each prompt with guide and criteria, and the finding of the headroom probe. Kept in
`stages/guide.json` and `stages/headroom.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from opd.data_loader import PromptRecord
from opd.evaluation.wording import percent
from opd.pipeline.answers_only.desk import STRUCTURED_TOKENS, chat_of, instruct, last_words, question_of, tell
from opd.pipeline.measuring import Measurements
from opd.pipeline.workbench import Workbench
from opd.teachers.base import Message
from opd.teachers.tasks.asking import SetAside, ask_and_read
from opd.teachers.tasks.guide import criteria_message, guide_message, guided, read_criteria, read_guide
from opd.training.decoding import Completion

_EXAMPLES, _PROBED = 8, 100


@dataclass(frozen=True)
class Guide:
    """What the teacher wrote. `criteria`: prompt id → criteria, where they could be read."""

    rules: tuple[str, ...]
    criteria: dict[str, list[str]]

    def before(self, record: PromptRecord) -> PromptRecord:
        """The prompt with the guide in front."""
        messages: list[Message] = guided(record.messages, self.rules, self.criteria.get(record.id, ()))
        return replace(record, messages=tuple(messages))  # type: ignore[arg-type]  # roles are checked where read


@dataclass(frozen=True)
class Headroom:
    """What the untrained student reaches on the same prompts, without and with the guide: higher is better.

    Shares 0..1 where answers can be checked, else the mean log-likelihood of the teacher's answers, nats.
    """

    plain: float
    with_guide: float

    @property
    def is_there(self) -> bool:
        """Whether there is anything to learn from the guide."""
        return self.with_guide > self.plain


def write_guide(bench: Workbench) -> Guide | None:
    """The teacher's guide; None where it wrote none that can be used."""
    kept = bench.results.once("guide", lambda: _write(bench))
    return Guide(tuple(kept["rules"]), kept["criteria"]) if kept["rules"] else None


def headroom(bench: Workbench, measurements: Measurements, guide: Guide, answers: Sequence[Completion]) -> Headroom:
    """How the untrained student answers without and with the guide, measured once, on prompts that are not held out.

    Args:
        answers: the teacher's to the training prompts: the measure where answers cannot be checked.
    """

    def measure() -> dict[str, float]:
        apart = bench.prompts.validation if measurements.can_judge else []
        records, references = (apart or bench.prompts.train)[:_PROBED], () if apart else answers[:_PROBED]
        student = bench.fresh_student()
        return {
            "plain": measurements.validate(student, records, references),
            "with_guide": measurements.validate(student, [guide.before(record) for record in records], references),
        }

    return Headroom(**bench.results.once("headroom", measure))


def private_texts(bench: Workbench) -> list[str]:
    """What the student was shown and must never recite: the rules, and each prompt's criteria."""
    kept = bench.results.get("guide")
    if not kept:
        return []
    return ["\n".join(texts) for texts in (kept["rules"], *kept["criteria"].values())]


def tell_guide(bench: Workbench, guide: Guide | None, found: Headroom | None) -> None:
    """Say in words what the guide is worth."""
    if guide is None or found is None:
        problems = [SetAside(**problem) for problem in bench.results.get("guide")["set_aside"]]
        why = problems[0].reason if problems else "it holds no rule"
        tell(bench, "guide", f"The teacher wrote no guide that can be used ({why}), so nothing was learned from one.")
        return
    words = f"The teacher wrote {len(guide.rules)} rules. The untrained student {_reached(found)}"
    words += "." if found.is_there else ": nothing can be learned from them, so the stage was left out."
    tell(bench, "guide", words, rules=len(guide.rules), plain=found.plain, with_guide=found.with_guide)


def _reached(found: Headroom) -> str:
    """The finding in words; below 0 it is a mean log-likelihood, nats, and not a share."""
    if found.plain < 0 or found.with_guide < 0:
        plain, helped = -found.plain, -found.with_guide
        return f"gives a token of the teacher's answers {plain:.2f} nats without and {helped:.2f} with them"
    return f"is right in {percent(found.plain)} of prompts without and {percent(found.with_guide)} with them"


def _write(bench: Workbench) -> dict[str, Any]:
    chat, records = chat_of(bench).chat, bench.prompts.train
    form, message = guide_message([last_words(record) for record in _spread(records)])
    bench.reporter.phase("expanding", total=1 + len(records), unit="guide and criteria")
    ask = instruct(form, message, temperature=0.0, purpose="guide", max_tokens=STRUCTURED_TOKENS)
    (reading,) = ask_and_read(chat, [ask], lambda _, reply: read_guide(reply), stage="guide")
    if reading.value is None:
        return {"rules": [], "criteria": {}, "set_aside": [vars(reading.problem)] if reading.problem else []}
    asks = []
    for record in records:
        form, message = criteria_message(question_of(record))
        asks.append(instruct(form, message, temperature=0.0, purpose="criteria", max_tokens=STRUCTURED_TOKENS))
    readings = ask_and_read(
        chat, asks, lambda _, reply: read_criteria(reply), stage="guide", progress=bench.reporter.progress
    )
    found = {record.id: r.value for record, r in zip(records, readings, strict=True) if r.value is not None}
    problems = [vars(r.problem) for r in readings if r.problem is not None]
    return {"rules": reading.value, "criteria": found, "set_aside": problems}


def _spread(records: Sequence[PromptRecord]) -> list[PromptRecord]:
    """A few prompts from all over the file."""
    return list(records[:: max(1, len(records) // _EXAMPLES)])[:_EXAMPLES]
