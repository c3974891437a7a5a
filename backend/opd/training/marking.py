"""Marking: the student drafts, a teacher says what should stand there, and the student learns it at its own states.

Every `refresh_every` steps the student, as it is then, writes drafts to training prompts, and all of them are marked.
The steps until the next refresh take their own-text rows from these, and the rest from the teacher's cached answers.

In: prompts as ids, answers, and who marks. Out: rows with weights. What was marked is kept by the caller, so that a
resumed run trains on the same drafts and asks nobody again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from opd.teachers.tasks.marks import Action
from opd.training.decoding import Completion
from opd.training.plan import PlannedRow, WindowPlan
from opd.training.sources import Desk
from opd.training.spans import answer_row, marked_rows
from opd.training.window import Row


@dataclass(frozen=True)
class Draft:
    """What the student wrote to a training prompt. `actions`: what the teacher made of it; None: unreadable."""

    prompt: int
    completion: Completion
    actions: tuple[Action, ...] | None = None


class Marks(Protocol):
    """Where marked drafts come from and are kept."""

    def kept(self, refresh: int) -> list[Draft] | None:
        """Drafts of a refresh that were marked before; None: not yet."""
        ...

    def mark(self, refresh: int, step: int, drafts: Sequence[Draft]) -> list[Draft]:
        """Have these marked and keep them."""
        ...


@dataclass(frozen=True)
class Marking:
    """How often and how much. Numbers as in `MarkObjective`."""

    refresh_every: int
    drafts: int
    correction_weight: float
    seed: int


class MarkedRows:
    """See `opd.training.sources.RowSource`."""

    def __init__(
        self,
        prompt_ids: Sequence[Sequence[int]],
        answers: Sequence[Completion],
        marks: Marks,
        settings: Marking,
        *,
        num_steps: int,
        tokenizer: Any,
        decode: Callable[[Sequence[int]], str],
        end_id: int,
    ):
        self._prompt_ids, self._answers, self._marks, self._settings = prompt_ids, answers, marks, settings
        self._tokenizer, self._decode, self._end_id = tokenizer, decode, end_id
        num_refreshes = -(-num_steps // settings.refresh_every)
        # Which prompts are drafted: all of them in turn, in an order of each round's own.
        self._plan = WindowPlan(len(prompt_ids), settings.drafts, num_refreshes, 1.0, settings.seed)
        self._refresh, self._pool = -1, list[list[Row]]()
        self._metrics: dict[str, float | None] = {}

    def rows(self, step: int, planned: Sequence[PlannedRow], desk: Desk) -> list[Row]:
        """See `RowSource`."""
        refresh = step // self._settings.refresh_every
        if refresh != self._refresh:
            self._load(refresh, step, desk)
        own = sum(row.on_policy for row in planned)
        first = (step - refresh * self._settings.refresh_every) * own
        rows = list[Row]()
        for row in planned:
            if row.on_policy and self._pool:
                rows += self._pool[first % len(self._pool)]
                first += 1
            else:  # no draft of this refresh could be used: the teacher's answer stands in
                rows.append(answer_row(self._prompt_ids[row.prompt], self._answers[row.prompt]))
        return rows

    def metrics(self) -> dict[str, float | None]:
        """See `RowSource`."""
        return self._metrics

    def _load(self, refresh: int, step: int, desk: Desk) -> None:
        drafts = self._marks.kept(refresh)
        if drafts is None:
            planned = self._plan[refresh]
            prompts = [self._prompt_ids[row.prompt] for row in planned]
            written = desk.complete(prompts, [row.seed for row in planned])
            new = [Draft(row.prompt, text) for row, text in zip(planned, written, strict=True)]
            drafts = self._marks.mark(refresh, step, new)
        order = list(range(len(drafts)))
        random.Random(f"{self._settings.seed}/marked/{refresh}").shuffle(order)
        self._pool = [rows for rows in (self._rows_of(drafts[index]) for index in order) if rows]
        self._refresh = refresh
        actions = [action for draft in drafts for action in draft.actions or ()]
        kept = sum(action.kept for action in actions)
        self._metrics = {"kept_share": kept / len(actions) if actions else None}

    def _rows_of(self, draft: Draft) -> list[Row]:
        if draft.actions is None:
            return []
        return marked_rows(
            self._prompt_ids[draft.prompt],
            draft.completion,
            draft.actions,
            tokenizer=self._tokenizer,
            decode=self._decode,
            end_id=self._end_id,
            correction_weight=self._settings.correction_weight,
        )
