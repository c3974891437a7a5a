"""Divergence and its slope, outcome by outcome: the arithmetic that buckets and splits share.

Legend: any shape; a is the student's probability of an outcome, p the teacher's. Nats.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Least probability of a target. The rest's mass inside a token is known only roughly, and a server's unlisted tokens
# not at all: a target of zero would punish without bound for what is merely unknown.
REST_FLOOR = 1e-6
COLUMN_FLOOR = 1e-12


def divergence_terms(log_a: Tensor, log_p: Tensor, p: Tensor, a: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Each outcome's share of JSD_beta(p‖a) and of KL(a‖p). Zero where a and p are.

    Args:
        log_p: logarithm of p, bounded below.
        beta: 0 forward KL, 1 reverse KL, between them the mixture (as in `opd.objectives.divergence`).
    """
    gap = log_a - log_p
    reverse = a * gap
    if beta == 1.0:
        return reverse, reverse
    if beta == 0.0:
        return -p * gap, reverse
    log_m = torch.logaddexp(log_p + math.log(beta), log_a + math.log1p(-beta))
    return beta * p * (log_p - log_m) + (1 - beta) * a * (log_a - log_m), reverse


def divergence_slope(log_a: Tensor, log_p: Tensor, p: Tensor, a: Tensor, beta: float) -> Tensor:
    """d JSD_beta / d a of each outcome, up to a constant that a softmax does not feel."""
    if beta == 1.0:
        return log_a - log_p
    if beta == 0.0:
        return -p / a.clamp_min(1e-30)
    log_m = torch.logaddexp(log_p + math.log(beta), log_a + math.log1p(-beta))
    return (1 - beta) * (log_a - log_m)
