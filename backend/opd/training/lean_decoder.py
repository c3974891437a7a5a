"""A decoder for the Llama family without the overhead of a general forward: fused projections, a fixed cache.

In: a Hugging Face model of a supported type, whose weights it reads at `start` (they change at every optimizer step).
Out: the same logits as the model's own forward, to rounding; tests compare them for every supported type.

Small models spend most of a decoding step in Python and dispatch, not in arithmetic: a handful of calls a layer
instead of dozens is what makes rollouts of tiny students fast. Large models gain little and lose nothing.

Legend: B rows, L tokens of this forward, H query heads, K key-value heads, D head width, W model width, M cache length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_SUPPORTED = {"qwen3", "qwen2", "llama", "mistral"}


@dataclass
class _Layer:
    input_norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    q_norm: Tensor | None
    k_norm: Tensor | None
    out: Tensor
    out_bias: Tensor | None
    post_norm: Tensor
    gate_up: Tensor
    down: Tensor
    keys: Tensor  # (B, K, M, D)
    values: Tensor  # (B, K, M, D)


class LeanDecoder:
    """Keeps a batch's keys and values in place; see `decoding.Decoder`."""

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

    def __init__(self, model: Any):
        self.model, config = model, model.config
        self.num_heads, self.num_kv = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.eps = config.rms_norm_eps

    def start(self, ids_BP: Tensor, mask_BP: Tensor, max_new_tokens: int) -> Tensor:
        """Read the prompts (left-padded) and give the logits (B, V) after each."""
        rows, width = ids_BP.shape
        self.length, self.capacity = 0, width + max_new_tokens
        self.layers = [self._read(layer, rows) for layer in self.model.model.layers]
        self.visible = torch.zeros(rows, self.capacity, dtype=torch.bool, device=ids_BP.device)
        self.visible[:, :width] = mask_BP.bool()
        self.padded = not bool(mask_BP.all())
        self.next_position = mask_BP.sum(-1)
        self._make_rotary(ids_BP.device)
        positions_BL = (mask_BP.cumsum(-1) - 1).clamp(min=0)
        causal = torch.ones(width, width, dtype=torch.bool, device=ids_BP.device).tril()
        # a padded row may see itself, so that no softmax is over nothing
        allowed = causal & (
            self.visible[:, None, None, :width] | torch.eye(width, dtype=torch.bool, device=causal.device)
        )
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
        rows, length = ids_BL.shape
        first, last = self.length, self.length + length
        cos, sin = self.cos[positions_BL].unsqueeze(1), self.sin[positions_BL].unsqueeze(1)
        num_q, num_kv, dim = self.num_heads, self.num_kv, self.head_dim
        x = functional.embedding(ids_BL, self.model.model.embed_tokens.weight)
        for layer in self.layers:
            h = functional.rms_norm(x, x.shape[-1:], layer.input_norm, self.eps)
            qkv = functional.linear(h, layer.qkv, layer.qkv_bias).view(rows, length, num_q + 2 * num_kv, dim)
            q, k, v = qkv.transpose(1, 2).split([num_q, num_kv, num_kv], dim=1)
            if layer.q_norm is not None:
                q = functional.rms_norm(q, (dim,), layer.q_norm, self.eps)
                k = functional.rms_norm(k, (dim,), layer.k_norm, self.eps)
            layer.keys[:, :, first:last] = _rotate(k, cos, sin)
            layer.values[:, :, first:last] = v
            attended = functional.scaled_dot_product_attention(
                _rotate(q, cos, sin),
                layer.keys[:, :, :last],
                layer.values[:, :, :last],
                attn_mask=allowed,
                enable_gqa=num_q != num_kv,
            )
            attended = attended.transpose(1, 2).reshape(rows, length, num_q * dim)
            x = x + functional.linear(attended, layer.out, layer.out_bias)
            h = functional.rms_norm(x, x.shape[-1:], layer.post_norm, self.eps)
            gate, up = functional.linear(h, layer.gate_up).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate).mul_(up), layer.down)
        self.length = last
        final = functional.rms_norm(x[:, -1], x.shape[-1:], self.model.model.norm.weight, self.eps)
        return functional.linear(final, self.model.lm_head.weight, self.model.lm_head.bias)

    def _read(self, layer: Any, rows: int) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        qkv = torch.cat([p.weight for p in projections])
        has_bias = projections[0].bias is not None
        cache = torch.empty(2, rows, self.num_kv, self.capacity, self.head_dim, dtype=qkv.dtype, device=qkv.device)
        return _Layer(
            input_norm=layer.input_layernorm.weight,
            qkv=qkv,
            qkv_bias=torch.cat([p.bias for p in projections]) if has_bias else None,
            q_norm=attention.q_norm.weight if hasattr(attention, "q_norm") else None,
            k_norm=attention.k_norm.weight if hasattr(attention, "k_norm") else None,
            out=attention.o_proj.weight,
            out_bias=attention.o_proj.bias,
            post_norm=layer.post_attention_layernorm.weight,
            gate_up=torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]),
            down=mlp.down_proj.weight,
            keys=cache[0],
            values=cache[1],
        )

    def _make_rotary(self, device: torch.device) -> None:
        """Cosine and sine of every position up to the cache's capacity; sine's first half is negated for `_rotate`."""
        rotary = self.model.model.rotary_emb
        angles = torch.outer(torch.arange(self.capacity, device=device).float(), rotary.inv_freq.float().to(device))
        dtype = self.model.model.embed_tokens.weight.dtype
        scaling = getattr(rotary, "attention_scaling", 1.0)
        self.cos = (torch.cat([angles.cos(), angles.cos()], -1) * scaling).to(dtype)
        self.sin = (torch.cat([-angles.sin(), angles.sin()], -1) * scaling).to(dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) in the half-split layout; `sin` carries the sign of the first half."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([x[..., half:], x[..., :half]], dim=-1) * sin
