"""Telling a student token that spans several teacher tokens from its siblings: one small divergence per split.

In: a `Chunk`, its `Target`, the student's log-probabilities. Out: per split its loss and the gradient at the student
tokens it concerns. Each split compares laws *within* a bucket, so that a bucket's whole is only scored once.

Legend: L splits of one depth, G their segments (groups, numbered through), E student tokens in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from opd.objectives.alignment.chunk import Chunk, Splits
from opd.objectives.alignment.target import TINY, Target
from opd.objectives.alignment.terms import REST_FLOOR, divergence_terms
from opd.objectives.alignment.walk import NONE


@dataclass(frozen=True)
class SplitLoss:
    """Of one depth."""

    loss_L: Tensor
    kl_L: Tensor
    observed_L: Tensor
    """Log of the teacher's share of the segment that holds the student's own token."""
    grad_E: Tensor
    """Gradient of the sum with respect to the logits of `Splits.student`'s tokens."""
    mass_G: Tensor


def split_losses(
    chunk: Chunk, splits: Splits, target: Target, parents_G: Tensor | None, log_q_CV: Tensor, beta: float
) -> SplitLoss:
    """The divergences of one depth (weight 1: the path to each split was sampled by the student).

    Args:
        parents_G: `mass_G` of the depth above; None at the first.
    """
    num, num_segments, split_of = len(splits.place), len(splits.split_of), splits.split_of
    mass_G, known_L = _teacher(chunk, splits, target, parents_G)
    segment, token = splits.student
    filled_G = torch.zeros(num_segments, dtype=torch.bool, device=mass_G.device)
    filled_G[segment] = True
    mass_G = mass_G * filled_G
    sum_L = mass_G.new_zeros(num).index_add_(0, split_of, mass_G)
    p_G = mass_G / sum_L.clamp_min(TINY)[split_of]
    log_p_G = p_G.clamp_min(REST_FLOOR).log()
    known_L &= sum_L > TINY
    # Within a bucket only differences of log-probabilities count, so this leaf stands for the logits themselves.
    with torch.enable_grad():
        leaf_E = log_q_CV[splits.place[split_of[segment]], token].detach().requires_grad_()
        a_G = leaf_E.new_zeros(num_segments).index_add(0, segment, leaf_E.exp())
        a_L = leaf_E.new_zeros(num).index_add(0, split_of, a_G)
        share_G = a_G / a_L.clamp_min(TINY)[split_of]
        log_a_G = share_G.clamp_min(TINY).log()
        loss_G, kl_G = divergence_terms(log_a_G, log_p_G, p_G, share_G, beta)
        counts_G = filled_G & known_L[split_of]
        loss_G = torch.where(counts_G, loss_G, torch.zeros_like(loss_G))
        (grad_E,) = torch.autograd.grad(loss_G.sum(), leaf_E)
    zeros_L = log_q_CV.new_zeros(num)
    return SplitLoss(
        zeros_L.index_add(0, split_of, loss_G.detach()),
        zeros_L.index_add(0, split_of, torch.where(counts_G, kl_G.detach(), torch.zeros_like(p_G))),
        torch.where(known_L, log_p_G[splits.chosen], zeros_L),
        grad_E,
        mass_G,
    )


def _teacher(chunk: Chunk, splits: Splits, target: Target, parents_G: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mass of every segment, and which splits the teacher's law says enough about."""
    table, num, split_of = target.probabilities_MU, len(splits.place), splits.split_of
    split, law, token = splits.path
    log_path_L = table.new_zeros(num).index_add_(0, split, table[law, token].clamp_min(TINY).log())
    path_L = target.reach_C[splits.place] * log_path_L.exp()
    segment, token = splits.teacher
    row = split_of[segment]
    mass_G = table.new_zeros(len(split_of)).index_add_(0, segment, path_L[row] * table[splits.law[row], token])
    whole_L = target.own_C[splits.place]
    if parents_G is not None:
        whole_L = torch.where(splits.parent == NONE, whole_L, parents_G[splits.parent.clamp_min(0)])
    going_on_L = table.new_zeros(num).index_add_(0, split_of, mass_G)
    mass_G[splits.first] = (whole_L - going_on_L).clamp_min(0.0)
    known_L = torch.ones(num, dtype=torch.bool, device=table.device)
    if not target.complete:
        known_L = path_L * target.unknown_M[splits.law] <= whole_L / 2
    return mass_G, known_L
