"""A teacher with the student's tokenizer that tells a few tokens' probabilities at each position.

`ListedView` turns them into a loss: top-k with a tail, forward or reverse, or the observed token alone. Where they come
from is a `LawSource`: a scoring server (`ServedLaws`) or a model on this machine, asked as if it were one
(`LocalLaws`).

Legend: N scored tokens, K listed ones (rows may have fewer: -1), V student vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from opd.objectives.chunked import head_logits
from opd.objectives.divergence import head_of
from opd.objectives.policy_gradient import sampled_token_policy_gradient
from opd.objectives.topk import topk_forward_kl, topk_reverse_kl
from opd.teachers.base import Ids, Rollouts, TeacherSignal, TokenLaws
from opd.teachers.tensors import stack_laws
from opd.training.models import backbone_of
from opd.training.views import Judged, Reading
from opd.training.window import MicroBatch, Row, hidden_states

Pair = tuple[Ids, Ids]
"""Prompt and completion, in the teacher's tokens."""
ListedLoss = Literal["topk_forward_kl", "topk_reverse_kl", "policy_gradient"]
_TOKENS_AT_ONCE = 4096


class Scores(Protocol):
    """Who scores; `opd.teachers.scoring_server.ScoringServer` does."""

    def score(self, rollouts: Rollouts) -> TeacherSignal: ...


class ServedLaws:
    """What a scoring server says about pairs: asked all at once, read one by one."""

    def __init__(self, server: Scores):
        self._server = server
        self._laws: dict[Pair, TokenLaws] = {}

    def ask(self, pairs: Sequence[Pair]) -> None:
        """Score these; what was known before is forgotten.

        Raises:
            TeacherError: the server did not answer, or not about these tokens.
        """
        new = list(dict.fromkeys(pairs))
        self._laws = {}
        signal = self._server.score(Rollouts(tuple(p for p, _ in new), tuple(c for _, c in new)))
        self._laws = dict(zip(new, signal.rows, strict=True))

    def of(self, pairs: Sequence[Pair], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Ids (N, K), their log-probabilities (N, K), the observed tokens' (N,), end to end over the pairs."""
        return stack_laws([self._laws[pair] for pair in pairs], device)


class LawSource(Protocol):
    """Where a batch's listed laws come from."""

    def ask(self, rows: Sequence[Row]) -> None: ...

    def of(self, batch: MicroBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Ids (N, K), their log-probabilities (N, K), the observed tokens' (N,)."""
        ...


class SameTokens:
    """Rows as they are: the teacher reads the student's ids."""

    def __init__(self, served: ServedLaws):
        self._served = served

    def ask(self, rows: Sequence[Row]) -> None:
        self._served.ask([(row.prompt_ids, row.completion.ids) for row in rows if row.completion.ids])

    def of(self, batch: MicroBatch) -> tuple[Tensor, Tensor, Tensor]:
        pairs = [(row.prompt_ids, row.completion.ids) for row in batch.rows]
        return self._served.of(pairs, batch.targets_N.device)


class LocalLaws:
    """A model on this machine that tells its K likeliest tokens and the observed one, as a server would."""

    def __init__(self, teacher: Any, *, top_k: int):
        self._backbone, self._head, self._top_k = backbone_of(teacher), head_of(teacher), top_k

    def ask(self, rows: Sequence[Row]) -> None:
        """Nothing to ask: the teacher is read micro-batch by micro-batch."""

    @torch.no_grad()
    def of(self, batch: MicroBatch) -> tuple[Tensor, Tensor, Tensor]:
        hidden_NT = hidden_states(self._backbone, batch)
        parts = [
            self._list(hidden, targets)
            for hidden, targets in zip(
                hidden_NT.split(_TOKENS_AT_ONCE), batch.targets_N.split(_TOKENS_AT_ONCE), strict=True
            )
        ]
        ids, logprobs, observed = (torch.cat(column) for column in zip(*parts, strict=True))
        return ids, logprobs, observed

    def _list(self, hidden_CT: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_p_CV = torch.log_softmax(head_logits(hidden_CT, self._head), -1)
        values, ids = log_p_CV.topk(min(self._top_k, log_p_CV.shape[-1]), -1)
        own_C1 = targets_C.unsqueeze(-1)
        observed_C1 = log_p_CV.gather(-1, own_C1)
        missing = ~(ids == own_C1).any(-1, keepdim=True)
        return (
            torch.cat([ids, torch.where(missing, own_C1, -1)], -1),
            torch.cat([values, observed_C1.masked_fill(~missing, -torch.inf)], -1),
            observed_C1.squeeze(-1),
        )


class ListedView:
    """See `opd.training.views.View`."""

    def __init__(self, source: LawSource, loss: ListedLoss, *, ratio_cap: float | None = None):
        self._source, self._loss, self._ratio_cap = source, loss, ratio_cap

    def ask(self, rows: Sequence[Row]) -> None:
        self._source.ask(rows)

    def read(self, batch: MicroBatch) -> Reading:
        ids_NK, logprobs_NK, observed_N = self._source.of(batch)

        def reading(logits_CV: Tensor, part: slice) -> Judged:
            # A teacher's outputs may be padded beyond the student's: such tokens join the tail.
            ids_CK = ids_NK[part].masked_fill(ids_NK[part] >= logits_CV.shape[-1], -1)
            observed_C = observed_N[part]
            if self._loss == "policy_gradient":
                own_C = torch.log_softmax(logits_CV, -1).gather(-1, batch.targets_N[part].unsqueeze(-1)).squeeze(-1)
                # Within a step the weights that sample are those that learn, so the ratio is 1 and only its slope acts.
                loss_C = sampled_token_policy_gradient(own_C, own_C.detach(), observed_C, ratio_cap=self._ratio_cap)
                return Judged(loss_C, own_C.detach() - observed_C, observed_C)
            reverse_C = topk_reverse_kl(logits_CV, ids_CK, logprobs_NK[part])
            loss_C = reverse_C
            if self._loss == "topk_forward_kl":
                loss_C = topk_forward_kl(logits_CV, ids_CK, logprobs_NK[part])
            return Judged(loss_C, reverse_C.detach(), observed_C)

        return reading
