"""Contrast: the teacher's answer should become likelier than what the student writes itself.

Each row of a window is a pair: the teacher's cached answer, and a text of the student to the same prompt, fresh for
the share lambda of rows and from before the training for the rest. The loss is the mean likelihood of the answers plus
ORPO's preference term, as weights of all tokens; see `opd.objectives.preference`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from opd.objectives.preference import PairLogprobs, odds_ratio_loss, token_weights
from opd.training.decoding import Completion
from opd.training.plan import PlannedRow
from opd.training.sources import Desk
from opd.training.window import Row


class ContrastRows:
    """See `opd.training.sources.RowSource`.

    Args:
        answers: the teacher's, one a prompt.
        frozen: the student's text to each prompt from before the training; needed where lambda is below 1.
        weight: what the preference counts beside the likelihood.
    """

    def __init__(
        self,
        prompt_ids: Sequence[Sequence[int]],
        answers: Sequence[Completion],
        frozen: Sequence[Completion],
        *,
        weight: float,
    ):
        self._prompt_ids, self._answers, self._frozen, self._weight = prompt_ids, answers, frozen, weight
        self._metrics: dict[str, float | None] = {}

    def rows(self, step: int, planned: Sequence[PlannedRow], desk: Desk) -> list[Row]:
        """See `RowSource`."""
        own = [row for row in planned if row.on_policy]
        written = iter(desk.complete([self._prompt_ids[row.prompt] for row in own], [row.seed for row in own]))
        chosen, rejected = list[Row](), list[Row]()
        for row in planned:
            text = next(written) if row.on_policy else self._frozen[row.prompt]
            prompt, answer = tuple(self._prompt_ids[row.prompt]), self._answers[row.prompt]
            chosen.append(Row(prompt, answer, on_policy=False))
            rejected.append(Row(prompt, text, on_policy=row.on_policy))
        return self._weighted(chosen, rejected, desk)

    def metrics(self) -> dict[str, float | None]:
        """See `RowSource`."""
        return self._metrics

    def _weighted(self, chosen: list[Row], rejected: list[Row], desk: Desk) -> list[Row]:
        sums = [part.sum() for part in desk.logprobs([*chosen, *rejected])]
        half = len(chosen)
        pairs = PairLogprobs(
            torch.stack(sums[:half]), torch.stack(sums[half:]), _lengths(chosen), _lengths(rejected).clamp(min=1)
        )
        # A text that equals the answer has nothing to be told apart by.
        differs = [a.completion.ids != b.completion.ids for a, b in zip(chosen, rejected, strict=True)]
        worth = token_weights(odds_ratio_loss, pairs)
        scale = self._weight * float(pairs.chosen_tokens.sum()) / half  # against the divisor: all answer tokens
        rows = list[Row]()
        for index, (answer, text) in enumerate(zip(chosen, rejected, strict=True)):
            push = scale * differs[index]
            rows += [
                _with_weight(answer, 1 + push * float(worth.chosen[index])),
                _with_weight(text, push * float(worth.rejected[index])),
            ]
        nll = -float(pairs.chosen.sum() / pairs.chosen_tokens.sum())
        margins = pairs.chosen / pairs.chosen_tokens - pairs.rejected / pairs.rejected_tokens
        self._metrics = {
            "loss": nll + self._weight * float((worth.loss * torch.tensor(differs)).mean()),
            "preference_margin": float(margins.mean()),
        }
        return [row for row in rows if row.completion.ids and any(row.weights or ())]


def _lengths(rows: Sequence[Row]) -> Tensor:
    return torch.tensor([float(len(row.completion.ids)) for row in rows])


def _with_weight(row: Row, weight: float) -> Row:
    return Row(row.prompt_ids, row.completion, row.on_policy, (weight,) * len(row.completion.ids))
