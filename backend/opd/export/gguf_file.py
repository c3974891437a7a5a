"""One GGUF file for llama.cpp, and the proof that it is the model.

Written with llama.cpp's own `gguf` package; read back twice: tensor by tensor and word by word with its reader, and
as a model by Transformers, whose reader is another program, on the same conversations as the run's model.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import torch

from opd.errors import InputError, VerificationError
from opd.export.checks import compare_logits, probe_ids
from opd.export.gguf_text import TEXTS, Words, built, first_difference, read_words
from opd.export.source import Source
from opd.store.exports import Check

Precision = Literal["f32", "f16", "bf16"]
_TYPES: dict[Precision, tuple[Any, Any]] = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}
_ARCHITECTURES = {
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
}
_LARGEST_F16 = 65504.0
_ROUNDING_COST = 0.1
"""Nats/token that rounding may cost at most; beyond it another number format has to be taken."""


def as_precision(name: str) -> Precision:
    """A number format by its name.

    Raises:
        InputError: there is none of this name.
    """
    for known in _TYPES:
        if name == known:
            return known
    raise InputError(f"There is no precision {name!r}.", hint=f"Choose one of {', '.join(_TYPES)}.")


def write_gguf(source: Source, path: Path, precision: Precision = "f16") -> list[Check]:
    """Write the file and verify it.

    Raises:
        InputError: an architecture, a tokenizer or numbers that cannot be written faithfully.
        VerificationError: what is read back is not what was trained.
    """
    arch = _architecture(source.model.config)
    words = read_words(source.tokenizer, int(source.model.get_input_embeddings().weight.shape[0]))
    tensors = _tensors(source.model, arch)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    _add_facts(writer, source, arch, precision)
    _add_words(writer, source, words)
    stored = {name: _stored(name, value, precision) for name, value in tensors.items()}
    for name, (data, kind) in stored.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return _verified(source, path, words, stored, precision)


def _architecture(config: Any) -> gguf.MODEL_ARCH:
    name = (config.architectures or [type(config).__name__])[0]
    if name not in _ARCHITECTURES:
        raise InputError(
            f"{name} is not written as GGUF here; {', '.join(_ARCHITECTURES)} are.",
            hint="Export it as merged, and convert the folder with llama.cpp's convert_hf_to_gguf.py.",
        )
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        raise InputError(
            f"This model stretches its positions ({rope['rope_type']}), which is not written as GGUF here.",
            hint="Export it as merged, and convert the folder with llama.cpp's convert_hf_to_gguf.py.",
        )
    if getattr(config, "use_sliding_window", False) or getattr(config, "mlp_bias", False):
        raise InputError("This variant of the architecture is not written as GGUF here.", hint="Export it as merged.")
    return _ARCHITECTURES[name]


def _tensors(model: Any, arch: gguf.MODEL_ARCH) -> dict[str, torch.Tensor]:
    """Weights under GGUF's names; the query and key rows of Llama in the order that its rotation wants."""
    config = model.config
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    found = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # llama.cpp takes the embedding where there is no output
        renamed = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if renamed is None:
            raise InputError(f"Tensor {name} has no place in a GGUF file.", hint="Export it as merged.")
        if arch == gguf.MODEL_ARCH.LLAMA and ".self_attn.q_proj." in name:
            value = _interleaved(value, config.num_attention_heads)
        elif arch == gguf.MODEL_ARCH.LLAMA and ".self_attn.k_proj." in name:
            value = _interleaved(value, config.num_key_value_heads)
        found[renamed] = value
    return found


def _interleaved(value: torch.Tensor, heads: int) -> torch.Tensor:
    """Halves of each head's rows as pairs: Hugging Face rotates (i, i + d/2), ggml's Llama (2i, 2i + 1)."""
    return value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def _add_facts(writer: gguf.GGUFWriter, source: Source, arch: gguf.MODEL_ARCH, precision: Precision) -> None:
    config = source.model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name(source.run.config().name or source.run.run_id)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base((getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10_000.0))
    writer.add_key_length(head)
    writer.add_value_length(head)
    if arch == gguf.MODEL_ARCH.LLAMA:
        writer.add_rope_dimension_count(head)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(_TYPES[precision][1])


def _add_words(writer: gguf.GGUFWriter, source: Source, words: Words) -> None:
    tokenizer = source.tokenizer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(list(words.tokens))
    writer.add_token_types(list(words.kinds))
    writer.add_token_merges(list(words.merges))
    ends = source.model.generation_config.eos_token_id
    writer.add_eos_token_id(ends[0] if isinstance(ends, list) else (ends or tokenizer.eos_token_id))
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(False)  # the chat template writes it where the model wants it
    writer.add_chat_template(tokenizer.chat_template)


def _stored(name: str, value: torch.Tensor, precision: Precision) -> tuple[np.ndarray[Any, Any], Any]:
    """A tensor in the file's number format; vectors (norms, biases) stay float32, as llama.cpp wants them."""
    data = value.detach().float().contiguous().numpy()
    if data.ndim == 1 or precision == "f32":
        return data, gguf.GGMLQuantizationType.F32
    if precision == "f16" and np.abs(data).max(initial=0.0) > _LARGEST_F16:
        raise InputError(f"{name} holds numbers too large for f16.", hint="Export with precision bf16 or f32.")
    kind = _TYPES[precision][0]
    return gguf.quants.quantize(data, kind), kind


def _verified(source: Source, path: Path, words: Words, stored: dict[str, Any], precision: Precision) -> list[Check]:
    reader = gguf.GGUFReader(path)
    read = {tensor.name: tensor.data for tensor in reader.tensors}
    wrong = sorted(set(read) ^ set(stored)) or [
        name for name, (data, _) in stored.items() if read[name].tobytes() != data.tobytes()
    ]
    if wrong:
        raise VerificationError(f"Tensor {wrong[0]} was not read back as it was written.", hint="Try another disk.")
    tensors = Check(what="tensors", found=f"{len(read)} read back, equal bit for bit to the model's in {precision}")
    return [tensors, _same_words(source, reader, words), *_same_model(source, path, precision)]


def _same_words(source: Source, reader: gguf.GGUFReader, words: Words) -> Check:
    kept = {
        name: reader.get_field(f"tokenizer.ggml.{name}").contents()  # type: ignore[union-attr]  # all were written
        for name in ("pre", "tokens", "token_type", "merges")
    }
    again = Words(kept["pre"], tuple(kept["tokens"]), tuple(kept["token_type"]), tuple(kept["merges"]))
    texts = [*TEXTS, *(source.tokenizer.decode(ids) for ids in probe_ids(source.tokenizer))]
    wrong = first_difference(source.tokenizer, built(again), texts)
    if again != words or wrong is not None:
        raise VerificationError(
            f"By llama.cpp's rules for {words.pre} this text is divided differently: {wrong!r}.",
            hint="The export was removed. Export it as merged.",
        )
    counted = f"{len(words.tokens)} tokens, {len(words.merges)} merges"
    return Check(what="tokenizer", found=f"{counted}; {len(texts)} texts divided alike by the rules of {words.pre}")


def _same_model(source: Source, path: Path, precision: Precision) -> list[Check]:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    read = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, config=source.model.config, dtype=torch.float32, local_files_only=True
    )
    rows = probe_ids(source.tokenizer)
    same = compare_logits(_rounded(source.model, precision), read.eval(), rows)
    if precision == "f32":
        return [same]
    cost = compare_logits(source.model.float(), read, rows, tolerance=_ROUNDING_COST)
    return [same, Check(what=f"what {precision} costs", found=cost.found)]


def _rounded(model: Any, precision: Precision) -> Any:
    """The model with its matrices rounded as the file stores them."""
    rounded = copy.deepcopy(model).float()
    kind = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[precision]
    for parameter in rounded.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.to(kind).float()
    return rounded
