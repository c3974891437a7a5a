"""The two-tokenizer loss: divergence between the student and the teacher's law given the same text.

In: student logits at some positions, the teacher's laws, an `AlignmentPlan`. Out: per-position divergence with
gradient, and what it is made of. Derivation, proof and limits: docs/objectives.md, "Two tokenizers".

The gradient is formed together with the value. With q the student's law, a_b = Σ q_t over bucket b and h_b the
divergence's slope in a_b, it is dL/dlogit_t = q_t (h_b(t) - Σ_s q_s h_b(s)): one pass, whatever the buckets are.

Legend: C positions of a chunk, R those of one kind, V student vocabulary, B = V + 1 columns (the last is the rest).
Nats throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from opd.objectives.alignment.chunk import Chunk, cut
from opd.objectives.alignment.correspondence import Correspondence
from opd.objectives.alignment.maps import StaticMap
from opd.objectives.alignment.plan import AlignmentPlan
from opd.objectives.alignment.splits import split_losses
from opd.objectives.alignment.target import TINY, Laws, Target, at_least_float32, make_target, sum_columns
from opd.objectives.alignment.terms import COLUMN_FLOOR, REST_FLOOR, divergence_slope, divergence_terms
from opd.objectives.alignment.walk import NONE


@dataclass(frozen=True)
class AlignedLoss:
    """Per position of the chunk, (C,). Only `loss_C` carries gradient."""

    loss_C: Tensor
    """JSD_beta over the buckets; 0 where not scored."""
    scored_C: Tensor
    """Whether the teacher could say anything."""
    reverse_kl_C: Tensor
    """KL(student‖teacher) over the same buckets."""
    teacher_logprob_C: Tensor
    """The teacher's log-probability of the student's own token (of its bucket, where they cannot be told apart)."""


def alignment_losses(
    maps: Correspondence, plan: AlignmentPlan, student_logits_CV: Tensor, part: slice, laws: Laws, *, beta: float
) -> AlignedLoss:
    """Divergence between the student and the teacher's law given the same text, at the positions in `part`.

    Args:
        student_logits_CV: at positions part.start…part.stop of the plan.
        laws: all laws of the plan, in its order.
        beta: 0 forward KL, 1 reverse KL, between them the mixture (as in `divergence`).
    """
    loss_C, *facts = _Aligned.apply(student_logits_CV, maps, plan, part, laws, beta)
    return AlignedLoss(loss_C, *facts)


class _Aligned(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        ctx: Any,
        logits_CV: Tensor,
        maps: Correspondence,
        plan: AlignmentPlan,
        part: slice,
        laws: Laws,
        beta: float,
    ):
        log_q_CV = torch.log_softmax(at_least_float32(logits_CV), dim=-1)
        num = len(log_q_CV)
        chunk = cut(plan, part, log_q_CV.device)
        target = make_target(maps, chunk, laws, log_q_CV)
        zeros = [log_q_CV.new_zeros(num) for _ in range(3)]
        found = _Found(zeros[0], zeros[1], zeros[2], torch.zeros_like(log_q_CV))
        at_boundary = chunk.base != NONE
        for at_start in (False, True):
            rows = (at_boundary & (chunk.at_start == at_start)).nonzero().squeeze(-1)
            _score(chunk, rows, maps.static(at_start), log_q_CV, target, beta, found)
        _score(chunk, (chunk.planned & ~at_boundary).nonzero().squeeze(-1), None, log_q_CV, target, beta, found)
        parents_G = None
        for splits in chunk.splits:
            split = split_losses(chunk, splits, target, parents_G, log_q_CV, beta)
            found.loss_C.index_add_(0, splits.place, split.loss_L)
            found.kl_C.index_add_(0, splits.place, split.kl_L)
            found.observed_C.index_add_(0, splits.place, split.observed_L)
            segment, token = splits.student
            place = splits.place[splits.split_of[segment]]
            found.grad_CV.index_put_((place, token), split.grad_E, accumulate=True)
            parents_G = split.mass_G
        dumb = ~target.scored_C
        for values in (found.loss_C, found.kl_C, found.observed_C):
            values.masked_fill_(dumb, 0.0)
        found.grad_CV[dumb] = 0.0
        ctx.save_for_backward(found.grad_CV)
        ctx.dtype = logits_CV.dtype
        ctx.mark_non_differentiable(target.scored_C, found.kl_C, found.observed_C)
        return found.loss_C, target.scored_C, found.kl_C, found.observed_C

    @staticmethod
    def backward(ctx: Any, grad_C: Tensor, *_: Tensor):  # type: ignore[no-untyped-def]  # a tuple as long as autograd wants
        (grad_CV,) = ctx.saved_tensors
        return (grad_CV * grad_C.unsqueeze(-1)).to(ctx.dtype), None, None, None, None, None


@dataclass(frozen=True)
class _Found:
    """Filled in place."""

    loss_C: Tensor
    kl_C: Tensor
    observed_C: Tensor
    grad_CV: Tensor


def _score(
    chunk: Chunk,
    rows: Tensor,
    static: StaticMap | None,
    log_q_CV: Tensor,
    target: Target,
    beta: float,
    found: _Found,
) -> None:
    """Positions of one kind: at a common boundary (with its map), or inside teacher tokens (None)."""
    if len(rows) == 0:
        return
    log_q_RV = log_q_CV[rows]
    q_RV = log_q_RV.exp()
    p_RB = target.mass_CB[rows].div_(target.total_C[rows].clamp_min(TINY).unsqueeze(-1))
    hidden_RV = None if static is not None and target.complete else p_RB[:, :-1] <= 0
    log_a_RB, a_RB = _student(chunk, rows, static, log_q_RV, q_RV)
    joined = _in_rows(chunk.joined, rows, len(chunk.planned))
    if len(joined[0]):
        row, column, into = joined
        for values_RB in (a_RB, p_RB):
            values_RB.index_put_((row, into), values_RB[row, column], accumulate=True)
            values_RB[row, column] = 0.0
        log_a_RB[row, into] = a_RB[row, into].clamp_min(TINY).log()
    if hidden_RV is not None:
        a_RB[:, -1] += a_RB[:, :-1].masked_fill(~hidden_RV, 0.0).sum(-1)
        a_RB[:, :-1].masked_fill_(hidden_RV, 0.0)
    log_a_RB[:, -1] = a_RB[:, -1].clamp_min(TINY).log()
    log_p_RB = p_RB.clamp_min(COLUMN_FLOOR if target.complete else REST_FLOOR).log_()
    log_p_RB[:, -1] = p_RB[:, -1].clamp_min(REST_FLOOR).log()
    row, _, column = _in_rows(target.emptied, rows, len(log_q_CV))
    log_p_RB[row, column] = log_p_RB[row, column].clamp_min(math.log(REST_FLOOR))
    term_RB, reverse_RB = divergence_terms(log_a_RB, log_p_RB, p_RB, a_RB, beta)
    found.loss_C[rows], found.kl_C[rows] = term_RB.sum(-1), reverse_RB.sum(-1)
    own_R1 = chunk.observed[rows].unsqueeze(-1)
    if hidden_RV is not None:
        hidden_R1 = torch.nn.functional.pad(hidden_RV, (0, 1)).gather(-1, own_R1)
        own_R1 = torch.where(hidden_R1, p_RB.shape[1] - 1, own_R1)
    found.observed_C[rows] = log_p_RB.gather(-1, own_R1).squeeze(-1)
    slope_RB = divergence_slope(log_a_RB, log_p_RB, p_RB, a_RB, beta)
    if hidden_RV is not None:
        slope_RB[:, :-1] = torch.where(hidden_RV, slope_RB[:, -1:], slope_RB[:, :-1])
    if len(joined[0]):
        row, column, into = joined
        slope_RB[row, column] = slope_RB[row, into]
    slope_RV = _slope_of_tokens(chunk, rows, static, slope_RB)
    found.grad_CV[rows] = q_RV.mul_(slope_RV.sub_((q_RV * slope_RV).sum(-1, keepdim=True)))


def _student(
    chunk: Chunk, rows: Tensor, static: StaticMap | None, log_q_RV: Tensor, q_RV: Tensor
) -> tuple[Tensor, Tensor]:
    """The student's mass on each column and its logarithm; the rest's logarithm is left to the caller."""
    if static is None:
        a_RB = torch.nn.functional.pad(q_RV, (0, 1))
        log_a_RB = torch.nn.functional.pad(log_q_RV, (0, 1))
        row, token, column = _in_rows(chunk.siblings, rows, len(chunk.planned))
        a_RB.index_put_((row, column), q_RV[row, token], accumulate=True)
        a_RB[row, token] = 0.0
        log_a_RB[row, column] = a_RB[row, column].clamp_min(TINY).log()
        return log_a_RB, a_RB
    tensors = static.tensors(log_q_RV.device)
    log_a_RB = torch.nn.functional.pad(log_q_RV, (0, 1))
    if len(tensors.merged) == 0:
        a_RB = torch.nn.functional.pad(q_RV, (0, 1))
        a_RB[:, -1] = q_RV[:, tensors.resting].sum(-1)
        a_RB[:, tensors.resting] = 0.0
        return log_a_RB, a_RB
    a_RB = sum_columns(q_RV, tensors.student_column, q_RV.shape[1] + 1).contiguous()
    # Columns of one token keep their exact logarithm.
    log_a_RB[:, tensors.merged] = a_RB[:, tensors.merged].clamp_min(TINY).log()
    return log_a_RB, a_RB


def _slope_of_tokens(chunk: Chunk, rows: Tensor, static: StaticMap | None, slope_RB: Tensor) -> Tensor:
    """From columns back to the tokens in them: (R, V)."""
    if static is None:
        slope_RV = slope_RB[:, :-1].contiguous()
        row, token, column = _in_rows(chunk.siblings, rows, len(chunk.planned))
        slope_RV[row, token] = slope_RB[row, column]
        return slope_RV
    tensors = static.tensors(slope_RB.device)
    if len(tensors.merged) == 0:
        slope_RV = slope_RB[:, :-1].contiguous()
        slope_RV[:, tensors.resting] = slope_RB[:, -1:]
        return slope_RV
    return slope_RB[:, tensors.student_column]


def _in_rows(entries: Tensor, rows: Tensor, num: int) -> tuple[Tensor, Tensor, Tensor]:
    """Entries (place, ·, ·) of these rows, with the row for the place."""
    row_of = torch.full((num,), NONE, device=rows.device, dtype=torch.long)
    row_of[rows] = torch.arange(len(rows), device=rows.device)
    row = row_of[entries[0]]
    here = row != NONE
    return row[here], entries[1][here], entries[2][here]
