"""Contrast between the teacher's answer and the student's own: ORPO, as weights of a likelihood.

In: log-probabilities (nats) of whole completions, two of each pair. Out: the loss of each pair, and what one nat of
every completion is worth to it, so that a window of pairs can be trained as a weighted likelihood of its tokens: the
gradient is the same, whatever micro-batch a completion falls into.

Legend: P pairs. A pair is an answer of the teacher (chosen) and a text of the student (rejected) to the same prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

_LARGEST_MEAN = -1e-6  # a completion of probability 1 has infinite odds


class PairLogprobs(NamedTuple):
    """Summed log-probabilities (P,) of both completions of each pair, with their numbers of tokens (P,)."""

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor


def odds_ratio_loss(pairs: PairLogprobs) -> Tensor:
    """ORPO's preference term (P,): -log σ(log odds(chosen) - log odds(rejected)); Hong et al. 2024, arXiv 2403.07691.

    The odds are those of the mean log-probability of a token, so that length alone is no preference.
    """
    chosen = _log_odds(pairs.chosen / pairs.chosen_tokens)
    return -logsigmoid(chosen - _log_odds(pairs.rejected / pairs.rejected_tokens))


class PairWeights(NamedTuple):
    """Weights (P,) of every token of a completion in a weighted likelihood, and the loss (P,) that they belong to."""

    chosen: Tensor
    rejected: Tensor
    loss: Tensor


def token_weights(loss: Callable[[PairLogprobs], Tensor], pairs: PairLogprobs) -> PairWeights:
    """What a nat of each completion is worth: weights w with ∇ Σ w·(-log q) = ∇ Σ loss at these log-probabilities."""
    chosen, rejected = (part.detach().clone().requires_grad_() for part in (pairs.chosen, pairs.rejected))
    with torch.enable_grad():
        loss_P = loss(pairs._replace(chosen=chosen, rejected=rejected))
        of_chosen, of_rejected = torch.autograd.grad(loss_P.sum(), (chosen, rejected))
    return PairWeights(-of_chosen, -of_rejected, loss_P.detach())


def _log_odds(mean_logprob: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = exp(mean_logprob)."""
    capped = mean_logprob.clamp(max=_LARGEST_MEAN)
    return capped - torch.log(-torch.expm1(capped))
