"""Hidden states of a frozen Llama-family model at the scored positions, without what nobody looks at.

In: a Hugging Face model of a type that `LeanDecoder` supports, on a CPU in float32, and a micro-batch. Out: what its
own forward gives, to rounding; tests compare them. Against that forward: products by `product_with`, sums in place, and
of the last layer only what the scored positions need, since nothing after it looks at the prompt.

Legend: B rows, L padded length, N scored tokens, H query heads, K key-value heads, D head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from opd.training.lean_decoder import LeanDecoder, rotary_table, rotate
from opd.training.linear import Product, product_with
from opd.training.window import MicroBatch


@dataclass(frozen=True)
class _Layer:
    input_norm: Tensor
    q: Product
    k: Product
    v: Product
    q_norm: Tensor | None
    k_norm: Tensor | None
    out: Product
    post_norm: Tensor
    gate: Product
    up: Product
    down: Product


class LeanScorer:
    """Reads the model's weights where they are; nothing is copied."""

    @staticmethod
    def supports(model: Any) -> bool:
        """Whether this model is one whose forward is reproduced here."""
        weight = next(model.parameters())
        return weight.device.type == "cpu" and weight.dtype == torch.float32 and LeanDecoder.supports(model)

    def __init__(self, model: Any):
        self._backbone, config = model.model, model.config
        self._num_q, self._num_kv = config.num_attention_heads, config.num_key_value_heads
        self._dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._eps = config.rms_norm_eps
        self._layers = [_read(layer) for layer in model.model.layers]

    @torch.inference_mode()
    def hidden_states(self, batch: MicroBatch) -> Tensor:
        """(N, width) at the scored positions: what enters the output head."""
        length = batch.input_ids_BL.shape[1]
        cos, sin = (table[:, None] for table in rotary_table(self._backbone, length))
        x = functional.embedding(batch.input_ids_BL, self._backbone.embed_tokens.weight)
        for layer in self._layers[:-1]:
            x = self._attend(layer, self._norm(x, layer.input_norm), cos, sin, 0).add_(x)
            x = self._feed_forward(layer, x)
        layer, first = self._layers[-1], int((batch.scored_N % length).min())
        attended = self._attend(layer, self._norm(x, layer.input_norm), cos, sin, first).add_(x[:, first:])
        # from columns first..L to the scored ones alone
        rows, columns = batch.scored_N // length, batch.scored_N % length - first
        return self._norm(self._feed_forward(layer, attended[rows, columns]), self._backbone.norm.weight)

    def _attend(self, layer: _Layer, h: Tensor, cos: Tensor, sin: Tensor, first: int) -> Tensor:
        """Self-attention of the columns from `first` on, (B, L - first, width)."""
        rows, length, _ = h.shape
        q = layer.q(h[:, first:]).view(rows, length - first, self._num_q, self._dim)
        k = layer.k(h).view(rows, length, self._num_kv, self._dim)
        v = layer.v(h).view(rows, length, self._num_kv, self._dim)
        if layer.q_norm is not None and layer.k_norm is not None:
            q, k = self._norm(q, layer.q_norm), self._norm(k, layer.k_norm)
        q, k = rotate(q, cos[first:], sin[first:]), rotate(k, cos, sin)
        allowed = None if first == 0 else torch.ones(length, length, dtype=torch.bool).tril()[first:]
        y = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=allowed,
            is_causal=allowed is None,
            enable_gqa=self._num_q != self._num_kv,
        )
        return layer.out(y.transpose(1, 2).reshape(rows, length - first, self._num_q * self._dim))

    def _feed_forward(self, layer: _Layer, x: Tensor) -> Tensor:
        h = self._norm(x, layer.post_norm)
        return layer.down(functional.silu(layer.gate(h), inplace=True).mul_(layer.up(h))).add_(x)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, x.shape[-1:], weight, self._eps)


def _read(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    has_norms = hasattr(attention, "q_norm")
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    q, k, v, out = (product_with(p.weight, p.bias) for p in (getattr(attention, name) for name in names))
    gate, up, down = (product_with(p.weight, p.bias) for p in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
    return _Layer(
        input_norm=layer.input_layernorm.weight,
        q=q,
        k=k,
        v=v,
        q_norm=attention.q_norm.weight if has_norms else None,
        k_norm=attention.k_norm.weight if has_norms else None,
        out=out,
        post_norm=layer.post_attention_layernorm.weight,
        gate=gate,
        up=up,
        down=down,
    )
