"""Model folders as files: find them, refuse dangerous ones, read their facts. Loads no weights and imports no torch.

In: a folder or a Hugging Face id. Out: a folder that the gate has passed, and `ModelFacts` read from its JSON files
and safetensors headers. Every loader in this project takes a folder from here, so nothing unsafe ever reaches one:
a model folder is data from strangers, and loaders have executed code from it before (see docs/architecture.md).
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opd.errors import ModelNotFoundError, UnsafeModelError

# Open-weight chat models in common use, for "did you mean". Not a limit: any causal language model is accepted.
KNOWN_MODELS: tuple[str, ...] = (
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-1.7B",
    "Qwen/Qwen3-4B",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-14B",
    "Qwen/Qwen3-32B",
    "Qwen/Qwen2.5-0.5B-Instruct",
    "Qwen/Qwen2.5-1.5B-Instruct",
    "Qwen/Qwen2.5-3B-Instruct",
    "Qwen/Qwen2.5-7B-Instruct",
    "Qwen/Qwen2.5-14B-Instruct",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "HuggingFaceTB/SmolLM3-3B",
    "meta-llama/Llama-3.2-1B-Instruct",
    "meta-llama/Llama-3.2-3B-Instruct",
    "meta-llama/Llama-3.1-8B-Instruct",
    "google/gemma-3-1b-it",
    "google/gemma-3-4b-it",
    "google/gemma-3-12b-it",
    "mistralai/Mistral-7B-Instruct-v0.3",
    "microsoft/Phi-4-mini-instruct",
)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "tokenizer.model"]
_MAX_HEADER_BYTES = 100_000_000
_DTYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_CODE_KEYS = ("auto_map", "custom_pipelines", "trust_remote_code")

Progress = Callable[[int, int | None], None]


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


def find_model(model: str, *, revision: str | None = None, progress: Progress | None = None) -> Path:
    """The local folder of a model, downloaded if it is a Hugging Face id that is not here yet, and safe to load.

    Args:
        model: a folder, or an id such as Qwen/Qwen3-0.6B.
        progress: called with (bytes done, bytes in all or None) while downloading.

    Raises:
        ModelNotFoundError: no such folder, no such id, or no way to reach the hub.
        UnsafeModelError: the folder holds something that must not be loaded.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
    elif _HUB_ID.fullmatch(model) and not model.startswith((".", "/")):
        folder = _download(model, revision, progress)
    else:
        raise ModelNotFoundError(
            f"There is no model folder {model!r}, and it is not a Hugging Face id (owner/name).",
            hint=_did_you_mean(model) or "Give the path of a folder with config.json and model.safetensors.",
        )
    check_model_folder(folder)
    return folder


def check_model_folder(folder: Path) -> None:
    """The gate: safetensors only, every file inside the folder, honest headers, no code.

    Raises:
        ModelNotFoundError: files of a model are missing.
        UnsafeModelError: something in it must not be loaded; says which file and why.
    """
    config = _read_json(folder, "config.json", required=True)
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json"):
        _refuse_code(folder, name, _read_json(folder, name))
    if not config.get("architectures"):
        raise ModelNotFoundError(
            f"{folder / 'config.json'} names no architecture, expected one such as Qwen3ForCausalLM.",
            hint="Take the complete folder of a causal language model.",
        )
    for file in _weight_files(folder):
        _read_header(folder, file)


def read_facts(folder: Path) -> ModelFacts:
    """Sizes and limits of a model, from its JSON files and the headers of its weights.

    Raises:
        ModelNotFoundError, UnsafeModelError: as `check_model_folder`.
    """
    config = _read_json(folder, "config.json", required=True)
    text = config.get("text_config") or config
    files = _weight_files(folder)
    num_parameters = num_bytes = 0
    for file in files:
        for tensor in _read_header(folder, file).values():
            count = math.prod(tensor["shape"])
            num_parameters += count
            num_bytes += count * _DTYPE_BYTES.get(tensor["dtype"], 2)
    tokenizer = _read_json(folder, "tokenizer_config.json")
    generation = _read_json(folder, "generation_config.json")
    eos = generation.get("eos_token_id", config.get("eos_token_id"))
    eos_ids = tuple(eos) if isinstance(eos, list) else (eos,) if isinstance(eos, int) else ()
    return ModelFacts(
        path=str(folder),
        architecture=str(config["architectures"][0]),
        num_parameters=num_parameters,
        num_bytes=num_bytes,
        vocab_size=int(text.get("vocab_size", 0)),
        context_length=int(text.get("max_position_embeddings", 0)),
        hidden_size=int(text.get("hidden_size", 0)),
        num_layers=int(text.get("num_hidden_layers", 0)),
        has_chat_template=bool(tokenizer.get("chat_template")) or (folder / "chat_template.jinja").is_file(),
        eos_token_ids=eos_ids,
    )


def _download(model: str, revision: str | None, progress: Progress | None) -> Path:
    # Imported here: the server never needs it, and it comes with the `train` extra.
    try:
        from huggingface_hub import errors as hub
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ModelNotFoundError(
            f"{model} is a Hugging Face id, and the training packages are not installed.",
            hint='Install them with `pip install "opd-studio[train]"`, or give the path of a model folder.',
        ) from None
    options: dict[str, Any] = {"revision": revision, "allow_patterns": _WANTED, "etag_timeout": 5}
    try:
        return Path(snapshot_download(model, local_files_only=True, **options))
    except (hub.LocalEntryNotFoundError, hub.HFValidationError, OSError):
        pass  # not here yet: ask the hub
    try:
        return Path(snapshot_download(model, tqdm_class=_progress_class(progress), **options))
    except hub.GatedRepoError:
        reason, way_out = (
            "its owner asks you to accept terms first",
            f"Accept them on the page of {model}, then log in.",
        )
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.HFValidationError):
        reason, way_out = "there is no such id" + (f" with revision {revision}" if revision else ""), ""
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, OSError):
        reason = "it is not on this machine, and the Hugging Face hub cannot be reached"
        way_out = "Connect to the internet, or give the path of a model folder."
    except Exception as error:  # noqa: BLE001  # the hub client passes on every error of its HTTP library
        reason, way_out = f"the download failed ({type(error).__name__})", "Try again; what was downloaded is kept."
    hint = " ".join(part for part in (_did_you_mean(model), way_out) if part)
    raise ModelNotFoundError(f"Model {model} could not be loaded: {reason}.", hint=hint, details={"model": model})


def _progress_class(progress: Progress | None) -> Any:
    from tqdm.auto import tqdm

    class Relay(tqdm):  # type: ignore[misc]  # untyped library
        def update(self, n: float | None = 1) -> Any:
            shown = super().update(n)
            if progress is not None and self.unit == "B":
                progress(int(self.n), int(self.total) if self.total else None)
            return shown

    return Relay


def _did_you_mean(model: str) -> str:
    """A sentence naming the nearest real ids; empty when the id is a known one or nothing is near."""
    if model in KNOWN_MODELS:
        return ""
    near = nearest_models(model)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def nearest_models(model: str) -> list[str]:
    """Known ids that look most like `model`, best first, at most two; sizes count by their distance."""

    def likeness(known: str) -> float:
        score = difflib.SequenceMatcher(None, model.lower(), known.lower()).ratio()
        asked, has = _size(model), _size(known)
        return score - 0.05 * abs(math.log(asked / has)) if asked and has else score

    ranked = sorted(KNOWN_MODELS, key=likeness, reverse=True)
    return [known for known in ranked[:2] if likeness(known) > 0.6]


def _size(model: str) -> float | None:
    found = re.search(r"(\d+(?:\.\d+)?)\s*([bm])\b", model.lower().replace("-", " "))
    return float(found[1]) * (0.001 if found[2] == "m" else 1) if found else None


def _weight_files(folder: Path) -> list[str]:
    """Names of the weight files, from the index if there is one; plain names inside the folder only."""
    index = _read_json(folder, "model.safetensors.index.json")
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


def _read_header(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """The tensor table of a safetensors file, checked against the file's real size."""
    path = _inside(folder, name)
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


def _read_json(folder: Path, name: str, *, required: bool = False) -> dict[str, Any]:
    if not (folder / name).exists():
        if required:
            raise ModelNotFoundError(
                f"{folder} has no {name}.", hint="Give the folder of a causal language model (config.json, weights)."
            )
        return {}
    path = _inside(folder, name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UnsafeModelError(f"{path} is not readable JSON ({error}).", hint="Download the model again.") from None
    if not isinstance(content, dict):
        raise UnsafeModelError(f"{path} holds no JSON object.", hint="Download the model again.")
    return content


def _inside(folder: Path, name: str) -> Path:
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
