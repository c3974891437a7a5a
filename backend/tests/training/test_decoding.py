"""Sampling against the models' own generation and against the law it must follow."""

from __future__ import annotations

import pytest
import torch

from opd.training.decoding import _ForwardDecoder, generate, make_decoder, sample
from opd.training.lean_decoder import LeanDecoder
from tiny import make_model

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13], [3], [20, 21]]
OPTIONS = {"seeds": [1, 2, 3, 4], "max_new_tokens": 12, "eos_ids": [2], "pad_id": 0}


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama", "mistral", "gemma"])
def test_greedy_equals_the_models_own_generation(kind: str) -> None:
    model = make_model(kind)
    assert LeanDecoder.supports(model) == (kind != "gemma")
    ours = generate(model, PROMPTS, **OPTIONS, temperature=0)
    for prompt, completion in zip(PROMPTS, ours, strict=True):
        theirs = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=2,
            pad_token_id=0,
        )
        assert list(completion.ids) == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
@pytest.mark.parametrize("rope", [None, {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                         "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
                                         "rope_theta": 10000.0}])  # fmt: skip
def test_the_lean_decoder_gives_the_logits_of_the_forward(kind: str, rope: dict[str, object] | None) -> None:
    model = make_model(kind, **({"rope_parameters": rope} if rope else {}))
    lean, plain = make_decoder(model), _ForwardDecoder(model)
    assert isinstance(lean, LeanDecoder)
    width = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in PROMPTS])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in PROMPTS])
    with torch.inference_mode():
        a, b = lean.start(ids, mask, 5), plain.start(ids, mask, 5)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        for place in range(4):
            if place == 2:
                kept = torch.tensor([0, 2])
                lean.keep(kept)
                plain.keep(kept)
                a = a[kept]
            chosen = a.argmax(-1)
            a, b = lean.step(chosen), plain.step(chosen)
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_models_with_adapters_is_left_to_its_own_forward() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(make_model(), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert not LeanDecoder.supports(model)
    assert len(generate(model, PROMPTS, **OPTIONS)) == len(PROMPTS)


@pytest.mark.parametrize("kind", ["qwen3", "gemma"])
def test_a_compute_dtype_changes_the_arithmetic_and_not_the_weights(kind: str) -> None:
    model = make_model(kind, initializer_range=0.1)
    ids, mask = torch.tensor([[5, 6, 7], [0, 8, 9]]), torch.tensor([[1, 1, 1], [0, 1, 1]])
    with torch.inference_mode():
        half, full = make_decoder(model, torch.bfloat16), make_decoder(model)
        a, b = half.start(ids, mask, 3), full.start(ids, mask, 3)
        assert a.dtype == torch.bfloat16
        for _ in range(2):
            assert 0 < (a.float() - b).norm() < 0.05 * b.norm()
            chosen = b.argmax(-1)
            a, b = half.step(chosen), full.step(chosen)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_neighbours_and_batch_size_do_not_change_a_rows_text() -> None:
    model = make_model()
    together = generate(model, PROMPTS, **OPTIONS)
    assert generate(model, PROMPTS, **OPTIONS, batch_size=1) == together
    backwards = generate(model, PROMPTS[::-1], **{**OPTIONS, "seeds": OPTIONS["seeds"][::-1]})
    assert backwards[::-1] == together


def test_completions_end_with_the_end_token_or_are_cut() -> None:
    for completion in generate(make_model(), PROMPTS * 8, **{**OPTIONS, "seeds": range(32)}, top_p=0.99):
        assert completion.finished == (completion.ids[-1] == 2)
        assert 2 not in completion.ids[:-1]
        assert len(completion.ids) <= 12


def test_sampling_follows_the_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1e9]]).expand(60_000, 4)
    uniforms = torch.rand(60_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = torch.bincount(sample(logits, uniforms, 1.0, 1.0), minlength=4) / 60_000
    torch.testing.assert_close(share, torch.softmax(logits[0], -1), atol=0.01, rtol=0)
    cut = torch.bincount(sample(logits, uniforms, 1.0, 0.6), minlength=4)
    assert cut[0] == cut[1] == cut[3] == 0
    colder = torch.bincount(sample(logits, uniforms, 0.5, 1.0), minlength=4) / 60_000
    torch.testing.assert_close(colder, torch.softmax(logits[0] / 0.5, -1), atol=0.01, rtol=0)


def test_the_end_of_the_unit_interval_never_picks_an_impossible_token() -> None:
    logits = torch.tensor([[0.0, 3.0, -torch.inf, -torch.inf]])
    assert sample(logits, torch.tensor([1.0 - 1e-17], dtype=torch.float64), 1.0, 1.0).item() == 1
