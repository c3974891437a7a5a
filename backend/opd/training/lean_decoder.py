"""A decoder for the Llama family without the overhead of a general forward: fused projections, a fixed cache.

In: a Hugging Face model of a supported type, whose weights it reads at `start` (they change at every optimizer step).
Out: the same logits as the model's own forward, to rounding; tests compare them for every supported type.

Small models spend most of a decoding step in Python and dispatch, not in arithmetic: a handful of calls a layer
instead of dozens is what makes rollouts of tiny students fast. Large models gain little and lose nothing.

Legend: B rows, L tokens of this forward, H query heads, K key-value heads, D head width, W model width, M cache length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from opd.objectives.linear import Product, product_with
from opd.training.lean_ops import rotate

_SUPPORTED = {"qwen3", "qwen2", "llama", "mistral"}


@dataclass
class _Layer:
    input_norm: Tensor
    qkv: Product
    qk_norm: Tensor | None  # (H + K, D): one row a head
    out: Product
    post_norm: Tensor
    gate_up: Product
    down: Product
    keys: Tensor  # (B, K, M, D)
    values: Tensor  # (B, K, M, D)


class LeanDecoder:
    """Keeps a batch's keys and values in place; see `decoding.Decoder`.

    Args:
        dtype: number format to compute in; None takes the weights'. Weights are converted once, at `start`.
    """

    @staticmethod
    def supports(model: Any) -> bool:
        """Whether this model is one whose forward is reproduced here, with nothing attached to its layers."""
        config: Any = model.config
        if config.model_type not in _SUPPORTED or config.hidden_act != "silu":
            return False
        if getattr(config, "use_sliding_window", False) or (
            config.model_type == "mistral" and getattr(config, "sliding_window", None) is not None
        ):
            return False
        backbone = getattr(model, "model", None)
        if backbone is None or not hasattr(backbone, "layers") or not hasattr(backbone, "rotary_emb"):
            return False
        if getattr(backbone.rotary_emb, "rope_type", "default") not in {"default", "llama3", "linear"}:
            return False
        linears = (m for layer in backbone.layers for n, m in layer.named_modules() if n.endswith("_proj"))
        return all(type(m) is nn.Linear for m in linears)

    def __init__(self, model: Any, dtype: torch.dtype | None = None):
        self.model, config = model, model.config
        self.dtype = dtype or model.model.embed_tokens.weight.dtype
        self.num_heads, self.num_kv = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.eps = config.rms_norm_eps

    def start(self, ids_BP: Tensor, mask_BP: Tensor, max_new_tokens: int) -> Tensor:
        """Read the prompts (left-padded) and give the logits (B, V) after each."""
        rows, width = ids_BP.shape
        self.length, self.capacity = 0, width + max_new_tokens
        self.layers = [self._read(layer, rows) for layer in self.model.model.layers]
        self.final_norm = self.model.model.norm.weight.to(self.dtype)
        self.head = self._product([self.model.lm_head], rows)
        self.visible = torch.zeros(rows, self.capacity, dtype=torch.bool, device=ids_BP.device)
        self.visible[:, :width] = mask_BP.bool()
        self.padded = not bool(mask_BP.all())
        self.next_position = mask_BP.sum(-1)
        self.cos, self.sin = (table.to(self.dtype) for table in rotary_table(self.model.model, self.capacity))
        positions_BL = (mask_BP.cumsum(-1) - 1).clamp(min=0)
        allowed = None
        if self.padded:
            causal = torch.ones(width, width, dtype=torch.bool, device=ids_BP.device).tril()
            # a padded row may see itself, so that no softmax is over nothing
            itself = torch.eye(width, dtype=torch.bool, device=ids_BP.device)
            allowed = causal & (self.visible[:, None, None, :width] | itself)
        return self._forward(ids_BP, positions_BL, allowed)

    def step(self, ids_B: Tensor) -> Tensor:
        """Append one token a row and give the logits (B, V) after it."""
        self.visible[:, self.length] = True
        allowed = self.visible[:, None, None, : self.length + 1] if self.padded else None
        logits = self._forward(ids_B.unsqueeze(-1), self.next_position.unsqueeze(-1), allowed)
        self.next_position = self.next_position + 1
        return logits

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.visible, self.next_position = self.visible[rows], self.next_position[rows]
        self.padded = not bool(self.visible[:, : self.length].all())
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]

    def _forward(self, ids_BL: Tensor, positions_BL: Tensor, allowed: Tensor | None) -> Tensor:
        cos, sin = self.cos[positions_BL].unsqueeze(2), self.sin[positions_BL].unsqueeze(2)
        x = functional.embedding(ids_BL, self.model.model.embed_tokens.weight).to(self.dtype)
        for layer in self.layers:
            h = functional.rms_norm(x, x.shape[-1:], layer.input_norm, self.eps)
            x = self._attend(layer, h, cos, sin, allowed).add_(x)
            h = functional.rms_norm(x, x.shape[-1:], layer.post_norm, self.eps)
            gate, up = layer.gate_up(h).chunk(2, dim=-1)
            x = layer.down(functional.silu(gate).mul_(up)).add_(x)
        self.length += ids_BL.shape[1]
        return self.head(functional.rms_norm(x[:, -1], x.shape[-1:], self.final_norm, self.eps))

    def _attend(self, layer: _Layer, h: Tensor, cos: Tensor, sin: Tensor, allowed: Tensor | None) -> Tensor:
        """Self-attention of one layer; the keys and values of these tokens join the cache."""
        rows, length, _ = h.shape
        num_q, num_kv, dim = self.num_heads, self.num_kv, self.head_dim
        first, last = self.length, self.length + length
        qkv = layer.qkv(h).view(rows, length, num_q + 2 * num_kv, dim)
        qk, v = qkv.split([num_q + num_kv, num_kv], dim=2)
        if layer.qk_norm is not None:
            qk = functional.rms_norm(qk, (dim,), None, self.eps) * layer.qk_norm
        q, k = rotate(qk, cos, sin).split([num_q, num_kv], dim=2)
        layer.keys[:, :, first:last] = k.transpose(1, 2)
        layer.values[:, :, first:last] = v.transpose(1, 2)
        keys, values = layer.keys[:, :, :last], layer.values[:, :, :last]
        if length == 1:  # the query heads that share a key head are its queries: no head has to be repeated
            q = q.view(rows, num_kv, num_q // num_kv, dim)
            y = functional.scaled_dot_product_attention(q, keys, values, attn_mask=allowed)
        else:
            y = functional.scaled_dot_product_attention(
                q.transpose(1, 2),
                keys,
                values,
                attn_mask=allowed,
                is_causal=allowed is None,
                enable_gqa=num_q != num_kv,
            ).transpose(1, 2)
        return layer.out(y.reshape(rows, length, num_q * dim))

    def _read(self, layer: Any, rows: int) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        device = attention.o_proj.weight.device
        cache = torch.empty(2, rows, self.num_kv, self.capacity, self.head_dim, dtype=self.dtype, device=device)
        qk_norm = None
        if hasattr(attention, "q_norm"):
            norms = (attention.q_norm.weight, self.num_heads), (attention.k_norm.weight, self.num_kv)
            qk_norm = torch.cat([norm.expand(heads, -1) for norm, heads in norms]).to(self.dtype)
        return _Layer(
            input_norm=layer.input_layernorm.weight.to(self.dtype),
            qkv=self._product([attention.q_proj, attention.k_proj, attention.v_proj], rows),
            qk_norm=qk_norm,
            out=self._product([attention.o_proj], rows),
            post_norm=layer.post_attention_layernorm.weight.to(self.dtype),
            gate_up=self._product([mlp.gate_proj, mlp.up_proj], rows),
            down=self._product([mlp.down_proj], rows),
            keys=cache[0],
            values=cache[1],
        )

    def _product(self, linears: Sequence[Any], rows: int) -> Product:
        """Several projections of the same input as one product."""
        weights = [linear.weight.to(self.dtype) for linear in linears]
        biases = [linear.bias for linear in linears]
        return product_with(
            torch.cat(weights) if len(weights) > 1 else weights[0],
            None if biases[0] is None else torch.cat(biases).to(self.dtype),
            pack_for_rows=rows,
        )


def rotary_table(backbone: Any, length: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine (length, D) of every position; the sine's first half is negated for `rotate`."""
    rotary, weight = backbone.rotary_emb, backbone.embed_tokens.weight
    angles = torch.outer(torch.arange(length, device=weight.device).float(), rotary.inv_freq.float().to(weight.device))
    scaling = getattr(rotary, "attention_scaling", 1.0)
    cos = torch.cat([angles.cos(), angles.cos()], -1) * scaling
    sin = torch.cat([-angles.sin(), angles.sin()], -1) * scaling
    return cos.to(weight.dtype), sin.to(weight.dtype)
