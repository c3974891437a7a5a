"""The lean scorer against the models' own forward."""

from __future__ import annotations

import pytest
import torch

from opd.training.decoding import Completion
from opd.training.lean_scorer import LeanScorer
from opd.training.models import backbone_of
from opd.training.window import Row, hidden_states, split_window
from tiny import make_model

LENGTHS = [(3, 5), (6, 1), (1, 4), (9, 9)]


def window(lengths: list[tuple[int, int]]) -> list[Row]:
    draw = torch.Generator().manual_seed(1)
    ids = [torch.randint(1, 97, (p + c,), generator=draw).tolist() for p, c in lengths]
    return [Row(tuple(i[:p]), Completion(tuple(i[p:]), False), True) for i, (p, _) in zip(ids, lengths, strict=True)]


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama", "mistral"])
@pytest.mark.parametrize("lengths", [LENGTHS, [(7, 2)] * 3])
@pytest.mark.parametrize("layers", [1, 3])
def test_gives_the_hidden_states_of_the_forward(kind: str, lengths: list[tuple[int, int]], layers: int) -> None:
    model = make_model(kind, num_hidden_layers=layers)
    assert LeanScorer.supports(model)
    (batch,) = split_window(window(lengths), pad_id=0, device=torch.device("cpu"))
    with torch.inference_mode():
        truth = hidden_states(backbone_of(model), batch)
    ours = LeanScorer(model).hidden_states(batch)
    assert ours.shape == truth.shape == (sum(c for _, c in lengths), 32)
    torch.testing.assert_close(ours, truth, rtol=1e-4, atol=1e-4)


def test_leaves_other_families_and_formats_to_their_own_forward() -> None:
    assert not LeanScorer.supports(make_model("gemma"))
    assert not LeanScorer.supports(make_model().bfloat16())
