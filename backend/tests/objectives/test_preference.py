"""Preference losses against their formulas in float64, and the weights that stand for their gradient."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from torch import Tensor

from opd.objectives.divergence import Head
from opd.objectives.likelihood import negative_log_likelihood
from opd.objectives.preference import PairLogprobs, odds_ratio_loss, token_weights

V, S = 13, 6


def pairs(seed: int = 0, num: int = 5) -> PairLogprobs:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 9, (2, num), generator=generator).double()
    means = -torch.rand(2, num, generator=generator, dtype=torch.float64) * 3 - 0.01
    return PairLogprobs(means[0] * lengths[0], means[1] * lengths[1], lengths[0], lengths[1])


def test_odds_ratio_loss_equals_its_formula() -> None:
    given = pairs()
    for index, loss in enumerate(odds_ratio_loss(given).tolist()):
        p = math.exp(given.chosen[index] / given.chosen_tokens[index])
        q = math.exp(given.rejected[index] / given.rejected_tokens[index])
        ratio = math.log((p / (1 - p)) / (q / (1 - q)))
        assert math.isclose(loss, -math.log(1 / (1 + math.exp(-ratio))), rel_tol=1e-9)


def test_a_certain_completion_has_finite_odds_and_gradient() -> None:
    certain = PairLogprobs(torch.zeros(1), torch.zeros(1), torch.ones(1) * 4, torch.ones(1) * 4)
    weights = token_weights(odds_ratio_loss, certain)
    assert all(torch.isfinite(part).all() for part in weights)


def test_weighted_likelihood_has_the_gradient_of_the_preference_loss() -> None:
    """Two completions a pair, of unlike length: once through autograd, once as weights of their tokens."""
    generator = torch.Generator().manual_seed(2)
    lengths = [3, 5, 4, 2]  # chosen, rejected, chosen, rejected
    hidden = torch.randn(sum(lengths), S, generator=generator, requires_grad=True)
    weight = torch.randn(V, S, generator=generator)
    targets = torch.randint(0, V, (sum(lengths),), generator=generator)

    def summed(nll: Tensor) -> PairLogprobs:
        sums = torch.stack([-part.sum() for part in nll.split(lengths)])
        tokens = torch.tensor(lengths, dtype=torch.float32)
        return PairLogprobs(sums[0::2], sums[1::2], tokens[0::2], tokens[1::2])

    nll = torch.nn.functional.cross_entropy(hidden @ weight.t(), targets, reduction="none")
    (truth,) = torch.autograd.grad(odds_ratio_loss(summed(nll)).sum(), hidden)

    found = token_weights(odds_ratio_loss, summed(nll.detach()))
    worth = torch.stack([found.chosen, found.rejected], 1).flatten()
    weights = worth.repeat_interleave(torch.tensor(lengths))
    loss, _, _ = negative_log_likelihood(hidden, Head(weight), targets, weights_N=weights, divisor=1.0)
    (ours,) = torch.autograd.grad(loss, hidden)
    torch.testing.assert_close(ours, truth, rtol=1e-4, atol=1e-6)
    assert (found.chosen > 0).all()
    assert (found.rejected < 0).all()


def test_odds_ratio_loss_equals_that_of_trl() -> None:
    from trl.experimental.orpo import ORPOTrainer

    given = pairs(3)
    looked_at = SimpleNamespace(beta=1.0, accelerator=SimpleNamespace(device="cpu"))
    theirs, *_ = ORPOTrainer.odds_ratio_loss(
        looked_at, given.chosen / given.chosen_tokens, given.rejected / given.rejected_tokens
    )
    torch.testing.assert_close(odds_ratio_loss(given).float(), -theirs)
