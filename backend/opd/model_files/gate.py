"""The gate in front of every loader, and what a folder says of itself.

In: a folder. Out: nothing where it is safe to load, and `ModelFacts` read from its JSON files and safetensors headers.
"""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opd.errors import ModelNotFoundError, UnsafeModelError

_MAX_HEADER_BYTES = 100_000_000
_DTYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")


@dataclass(frozen=True)
class ModelFacts:
    """What a model folder says of itself."""

    path: str
    architecture: str
    num_parameters: int
    num_bytes: int
    vocab_size: int
    context_length: int
    hidden_size: int
    num_layers: int
    has_chat_template: bool
    eos_token_ids: tuple[int, ...]


def check_model_folder(folder: Path) -> None:
    """The gate: safetensors only, every file inside the folder, honest headers, no code.

    Raises:
        ModelNotFoundError: files of a model are missing.
        UnsafeModelError: something in it must not be loaded; says which file and why.
    """
    config = read_json(folder, "config.json", required=True)
    check_tokenizer_folder(folder)
    if not config.get("architectures"):
        raise ModelNotFoundError(
            f"{folder / 'config.json'} names no architecture, expected one such as Qwen3ForCausalLM.",
            hint="Take the complete folder of a causal language model.",
        )
    for file in _weight_files(folder):
        read_header(folder, file)


def check_tokenizer_folder(folder: Path) -> None:
    """The gate for a folder of which only the tokenizer is used: no code, every file inside the folder.

    Raises:
        UnsafeModelError: as `check_model_folder`.
    """
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json"):
        _refuse_code(folder, name, read_json(folder, name))


def read_facts(folder: Path, *, with_weights: bool = True) -> ModelFacts:
    """Sizes and limits of a model, from its JSON files and the headers of its weights.

    Args:
        with_weights: False for a folder of which only the tokenizer is used; what is not there is then 0 or empty.

    Raises:
        ModelNotFoundError, UnsafeModelError: as `check_model_folder`.
    """
    config = read_json(folder, "config.json", required=with_weights)
    text = config.get("text_config") or config
    num_parameters = num_bytes = 0
    for file in _weight_files(folder) if with_weights else ():
        for tensor in read_header(folder, file).values():
            count = math.prod(tensor["shape"])
            num_parameters += count
            num_bytes += count * _DTYPE_BYTES.get(tensor["dtype"], 2)
    tokenizer = read_json(folder, "tokenizer_config.json")
    generation = read_json(folder, "generation_config.json")
    eos = generation.get("eos_token_id", config.get("eos_token_id"))
    eos_ids = tuple(eos) if isinstance(eos, list) else (eos,) if isinstance(eos, int) else ()
    return ModelFacts(
        path=str(folder),
        architecture=str((config.get("architectures") or [""])[0]),
        num_parameters=num_parameters,
        num_bytes=num_bytes,
        vocab_size=int(text.get("vocab_size", 0)),
        context_length=int(text.get("max_position_embeddings", 0)),
        hidden_size=int(text.get("hidden_size", 0)),
        num_layers=int(text.get("num_hidden_layers", 0)),
        has_chat_template=bool(tokenizer.get("chat_template")) or (folder / "chat_template.jinja").is_file(),
        eos_token_ids=eos_ids,
    )


def _weight_files(folder: Path) -> list[str]:
    """Names of the weight files, from the index if there is one; plain names inside the folder only."""
    index = read_json(folder, "model.safetensors.index.json")
    if index:
        names = sorted(set(index.get("weight_map", {}).values()))
        for name in names:
            if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
                raise UnsafeModelError(
                    f"model.safetensors.index.json points to {name!r}, expected a .safetensors file beside it.",
                    hint="Do not use this folder: the entry would make a loader open another file.",
                )
        return names
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    others = sorted(p.name for p in folder.glob("*") if p.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl"})
    if others:
        raise UnsafeModelError(
            f"{folder} holds its weights as {others[0]}, a format that can run code when opened.",
            hint="Take the safetensors form of this model; most publishers offer it.",
        )
    raise ModelNotFoundError(
        f"{folder} has no model.safetensors.", hint="Give the folder of a causal language model in safetensors form."
    )


def read_header(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """The tensor table of a safetensors file, checked against the file's real size."""
    path = inside(folder, name)
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        if length > min(_MAX_HEADER_BYTES, size - 8):
            raise UnsafeModelError(
                f"{name} declares a header of {length:,} bytes in a file of {size:,} bytes.",
                hint="The file is damaged or made to mislead a loader. Download it again from its publisher.",
            )
        try:
            table = json.loads(file.read(length))
        except ValueError:
            raise UnsafeModelError(f"{name} has no readable safetensors header.", hint="Download it again.") from None
    table.pop("__metadata__", None)
    for tensor, entry in table.items():
        begin, end = entry["data_offsets"]
        wanted = math.prod(entry["shape"]) * _DTYPE_BYTES.get(entry["dtype"], 0)
        if not 0 <= begin <= end <= size - 8 - length or (wanted and wanted != end - begin):
            raise UnsafeModelError(
                f"{name}: tensor {tensor[:80]} claims bytes {begin:,}–{end:,}, which the file does not hold.",
                hint="The file is cut off or made to mislead a loader. Download it again from its publisher.",
            )
    return table  # type: ignore[no-any-return]  # checked entry by entry above


def _refuse_code(folder: Path, name: str, content: dict[str, Any]) -> None:
    found = [key for key in content if key in _CODE_KEYS or key.startswith("_attn_implementation")]
    if found:
        raise UnsafeModelError(
            f"{folder / name} asks for code of its own ({found[0]}), expected plain weights of a known architecture.",
            hint="OPD Studio never runs code from a model folder. Choose a model that needs none.",
        )


def read_json(folder: Path, name: str, *, required: bool = False) -> dict[str, Any]:
    """A JSON object of a model folder; {} where there is no such file and none is required."""
    if not (folder / name).exists():
        if required:
            raise ModelNotFoundError(
                f"{folder} has no {name}.", hint="Give the folder of a causal language model (config.json, weights)."
            )
        return {}
    path = inside(folder, name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UnsafeModelError(f"{path} is not readable JSON ({error}).", hint="Download the model again.") from None
    if not isinstance(content, dict):
        raise UnsafeModelError(f"{path} holds no JSON object.", hint="Download the model again.")
    return content


def inside(folder: Path, name: str) -> Path:
    """The file itself. Hugging Face's cache links to `../../blobs`; any other way out of the folder is refused."""
    path = folder / name
    real = Path(os.path.realpath(path))
    allowed = [Path(os.path.realpath(folder))]
    if folder.parent.name == "snapshots":
        allowed.append(Path(os.path.realpath(folder.parent.parent)) / "blobs")
    if not real.is_file() or not any(real.is_relative_to(root) for root in allowed):
        raise UnsafeModelError(
            f"{path} leads out of the model's folder or is no regular file.", hint="Copy the real file into the folder."
        )
    return real
