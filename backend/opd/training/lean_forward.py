"""Hidden states of a Llama-family model at the scored positions, without what nobody looks at; with gradients.

In: a Hugging Face model of a type that `LeanDecoder` supports, on a CPU in float32, and a micro-batch. Out: what its
own forward gives, to rounding, and the same gradients; tests compare both. Against that forward: products by `linear`,
element-wise work by `lean_ops`, and of the last layer only what the scored positions need, since nothing after it looks
at the prompt.

Student and teacher are read by the same operations in the same order, so a teacher that is the student agrees with it
to the last bit.

Legend: B rows, L padded length, N scored tokens, H query heads, K key-value heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from opd.objectives.linear import linear
from opd.training.lean_decoder import LeanDecoder, rotary_table
from opd.training.lean_ops import gated, rms_norm, rotary
from opd.training.models import backbone_of
from opd.training.window import MicroBatch, hidden_states

Reader = Callable[[MicroBatch], Tensor]
"""From a micro-batch to the hidden states (N, width) that enter the output head."""


def reader_of(model: Any, *, plain: bool = False) -> Reader:
    """The quickest way to read this model.

    Args:
        plain: by its own forward in any case.
    """
    if not plain and LeanForward.supports(model):
        return LeanForward(model).hidden_states
    backbone = backbone_of(model)
    return lambda batch: hidden_states(backbone, batch)


class LeanForward:
    """Reads the model's weights where they are; nothing is copied."""

    @staticmethod
    def supports(model: Any) -> bool:
        """Whether this model is one whose forward is reproduced here."""
        dropout = getattr(model.config, "attention_dropout", 0.0)
        if not LeanDecoder.supports(model) or dropout > 0:
            return False
        weight = model.model.embed_tokens.weight
        return weight.device.type == "cpu" and weight.dtype == torch.float32

    def __init__(self, model: Any):
        self._backbone, config = model.model, model.config
        self._num_q, self._num_kv = config.num_attention_heads, config.num_key_value_heads
        self._dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._eps = config.rms_norm_eps

    def hidden_states(self, batch: MicroBatch) -> Tensor:
        """(N, width) at the scored positions: what enters the output head."""
        length, embedding = batch.input_ids_BL.shape[1], self._backbone.embed_tokens
        cos, sin = (table[:, None] for table in rotary_table(self._backbone, length))
        x = functional.embedding(batch.input_ids_BL, embedding.weight, embedding.padding_idx)
        for layer in self._backbone.layers[:-1]:
            x = self._attend(layer, x, cos, sin, 0)
            x = self._feed_forward(layer, x)
        layer, first = self._backbone.layers[-1], int((batch.scored_N % length).min())
        attended = self._attend(layer, x, cos, sin, first)
        # from columns first..L to the scored ones alone
        rows, columns = batch.scored_N // length, batch.scored_N % length - first
        scored = attended.reshape(-1, attended.shape[-1])[rows * (length - first) + columns]
        return rms_norm(self._feed_forward(layer, scored), self._backbone.norm.weight, self._eps)

    def _attend(self, layer: Any, x: Tensor, cos: Tensor, sin: Tensor, first: int) -> Tensor:
        """Residual stream after self-attention, columns from `first` on: (B, L - first, width)."""
        rows, length, _ = x.shape
        attention = layer.self_attn
        h = rms_norm(x, layer.input_layernorm.weight, self._eps)
        q = _project(attention.q_proj, h[:, first:]).view(rows, length - first, self._num_q, self._dim)
        k = _project(attention.k_proj, h).view(rows, length, self._num_kv, self._dim)
        v = _project(attention.v_proj, h).view(rows, length, self._num_kv, self._dim)
        if hasattr(attention, "q_norm"):
            q = rms_norm(q, attention.q_norm.weight, self._eps)
            k = rms_norm(k, attention.k_norm.weight, self._eps)
        q, k = rotary(q, cos[first:], sin[first:]), rotary(k, cos, sin)
        allowed = None if first == 0 else torch.ones(length, length, dtype=torch.bool).tril()[first:]
        y = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=allowed,
            is_causal=allowed is None,
            enable_gqa=self._num_q != self._num_kv,
        )
        y = y.transpose(1, 2).reshape(rows, length - first, self._num_q * self._dim)
        return _project(attention.o_proj, y) + x[:, first:]

    def _feed_forward(self, layer: Any, x: Tensor) -> Tensor:
        h = rms_norm(x, layer.post_attention_layernorm.weight, self._eps)
        mlp = layer.mlp
        return _project(mlp.down_proj, gated(_project(mlp.gate_proj, h), _project(mlp.up_proj, h))) + x


def _project(projection: Any, x: Tensor) -> Tensor:
    return linear(x, projection.weight, projection.bias)
