"""The teacher's marks on drafts: one request a draft, at each refresh.

What was said is kept in `stages/marks-<refresh>.json`, drafts and marks as texts for people beside the token ids that
are trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opd.pipeline.answers_only.desk import STRUCTURED_TOKENS, chat_of, instruct, question_of, replies_in_lines, tell
from opd.pipeline.workbench import Workbench
from opd.teachers.chat import Ask
from opd.teachers.tasks.asking import Reading, ask_and_read
from opd.teachers.tasks.instructions import instruction
from opd.teachers.tasks.marks import (
    Action,
    Mark,
    actions_of,
    draft_lines,
    numbered,
    parse_marks,
    parts_of,
    read_json_marks,
)
from opd.teachers.tasks.replies import UnreadableError
from opd.training.decoding import Completion
from opd.training.marking import Draft

_SPARE_TOKENS = 16


class TeacherMarks:
    """See `opd.training.marking.Marks`."""

    def __init__(self, bench: Workbench):
        self._bench, self._lines = bench, replies_in_lines(bench)

    def kept(self, refresh: int) -> list[Draft] | None:
        """See `Marks`."""
        found = self._bench.results.get(_name(refresh))
        return None if found is None else [self._draft(each) for each in found["drafts"]]

    def mark(self, refresh: int, step: int, drafts: Sequence[Draft]) -> list[Draft]:
        """See `Marks`."""
        bench = self._bench
        texts = [bench.decode(draft.completion.ids) for draft in drafts]
        asks = [self._ask(draft.prompt, text) for draft, text in zip(drafts, texts, strict=True)]
        readings = ask_and_read(
            chat_of(bench).chat,
            asks,
            lambda index, reply: self._read(texts[index], reply),
            stage="marking",
            # In lines it would say the same again; and the next refresh has new drafts.
            ask_again=not self._lines,
        )
        kept = [_kept(d, text, r) for d, text, r in zip(drafts, texts, readings, strict=True)]
        bench.results.put(_name(refresh), {"step": step, "drafts": kept})
        return [self._draft(each) for each in kept]

    def tell(self) -> None:
        """Say in words what was marked in the whole run."""
        num_refreshes = num_drafts = num_unread = 0
        actions = list[Action]()
        while (drafts := self.kept(num_refreshes)) is not None:
            num_refreshes, num_drafts = num_refreshes + 1, num_drafts + len(drafts)
            num_unread += sum(draft.actions is None for draft in drafts)
            actions += [action for draft in drafts for action in draft.actions or ()]
        num_kept = sum(action.kept for action in actions)
        unit = "lines" if self._lines else "sentences"
        words = (
            f"Trained on {len(actions) - num_kept:,} {unit} that the teacher corrected in the student's own drafts, "
            f"and on {num_kept:,} that it kept: {num_drafts:,} drafts in {num_refreshes} rounds."
        )
        if num_unread:
            words += f" {num_unread} markings could not be read and were set aside."
        tell(
            self._bench, "marking", words, refreshes=num_refreshes, drafts=num_drafts, kept=num_kept,
            corrected=len(actions) - num_kept, unreadable=num_unread,
        )  # fmt: skip

    def _ask(self, prompt: int, text: str) -> Ask:
        question = question_of(self._bench.prompts.train[prompt])
        limit = self._bench.config.sampling.max_completion_tokens + _SPARE_TOKENS
        if self._lines:
            form = instruction("mark_lines")
            message = form.fill(question=question, draft="\n".join(draft_lines(text)))
        else:
            form, limit = instruction("mark"), limit + STRUCTURED_TOKENS
            message = form.fill(question=question, draft=numbered(text))
        return instruct(form, message, temperature=0.0, purpose="mark", max_tokens=limit)

    def _read(self, text: str, reply: str) -> list[Mark]:
        marks = parse_marks(text, reply) if self._lines else read_json_marks(text, reply)
        if marks is None:
            raise UnreadableError("the reply has not one line for each line of the draft")
        return marks

    def _draft(self, kept: dict[str, Any]) -> Draft:
        completion = Completion(tuple(kept["ids"]), bool(kept["finished"]))
        if kept["marks"] is None:
            return Draft(kept["prompt"], completion)
        text, marks = kept["text"], [Mark(line, verdict) for verdict, line in kept["marks"]]
        parts = parts_of(text, by_line=self._lines)
        return Draft(kept["prompt"], completion, tuple(actions_of(text, parts, marks, complete=completion.finished)))


def _kept(draft: Draft, text: str, reading: Reading[list[Mark]]) -> dict[str, Any]:
    return {
        "prompt": draft.prompt,
        "ids": list(draft.completion.ids),
        "finished": draft.completion.finished,
        "text": text,
        "marks": None if reading.value is None else [[mark.verdict, mark.line] for mark in reading.value],
        "problem": None if reading.problem is None else vars(reading.problem),
    }


def _name(refresh: int) -> str:
    return f"marks-{refresh:05d}"
