"""The lean forward and its gradients against the models' own forward."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from opd.training.decoding import Completion
from opd.training.lean_forward import LeanForward, Reader, reader_of
from opd.training.window import Row, split_window
from tiny import make_model

LENGTHS = [(3, 5), (6, 1), (1, 4), (9, 9)]


def window(lengths: list[tuple[int, int]]) -> list[Row]:
    draw = torch.Generator().manual_seed(1)
    ids = [torch.randint(1, 97, (p + c,), generator=draw).tolist() for p, c in lengths]
    return [Row(tuple(i[:p]), Completion(tuple(i[p:]), False), True) for i, (p, _) in zip(ids, lengths, strict=True)]


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama", "mistral"])
@pytest.mark.parametrize("lengths", [LENGTHS, [(7, 2)] * 3])
@pytest.mark.parametrize("layers", [1, 3])
def test_gives_the_hidden_states_and_gradients_of_the_forward(
    kind: str, lengths: list[tuple[int, int]], layers: int
) -> None:
    model = make_model(kind, num_hidden_layers=layers)
    assert LeanForward.supports(model)
    rows = window(lengths)
    rows[0] = replace(rows[0], prompt_ids=(0, *rows[0].prompt_ids[1:]))  # the padding id may be a word as well
    (batch,) = split_window(rows, pad_id=0, device=torch.device("cpu"))
    slope = torch.randn(sum(c for _, c in lengths), 32, generator=torch.Generator().manual_seed(2))

    def read(reader: Reader) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        model.zero_grad()
        hidden = reader(batch)
        hidden.backward(slope)
        return hidden.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    truth, gradients = read(reader_of(model, plain=True))
    ours, own_gradients = read(reader_of(model))
    assert ours.shape == truth.shape == slope.shape
    torch.testing.assert_close(ours, truth, rtol=1e-4, atol=1e-4)
    assert own_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert (own_gradients[name] - gradient).norm() <= 1e-4 * gradient.norm(), name
    with torch.inference_mode():
        assert torch.equal(LeanForward(model).hidden_states(batch), ours), "a teacher that is the student, to the bit"


def test_frozen_weights_get_no_gradient() -> None:
    model = make_model().requires_grad_(False)
    model.model.layers[1].mlp.requires_grad_(True)
    (batch,) = split_window(window(LENGTHS), pad_id=0, device=torch.device("cpu"))
    reader_of(model)(batch).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is not None] == [
        f"model.layers.1.mlp.{part}_proj.weight" for part in ("gate", "up", "down")
    ]


def test_leaves_other_families_and_formats_to_their_own_forward() -> None:
    assert not LeanForward.supports(make_model("gemma"))
    assert not LeanForward.supports(make_model().bfloat16())
    assert not LeanForward.supports(make_model(attention_dropout=0.1))
