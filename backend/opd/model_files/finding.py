"""From a name to a folder on this machine: a path, or a Hugging Face id that is here or can be fetched.

Nothing is handed out that the gate has not passed.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opd.errors import ModelNotFoundError
from opd.hub_cache import local_tokenizer
from opd.model_files.gate import check_model_folder

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
# No config.json: a folder that has one is taken for a whole model.
_WANTED_OF_TOKENIZER = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"]
_WANTED_OF_TOKENIZER += ["chat_template.jinja"]

Progress = Callable[[int, int | None], None]


def find_model(model: str, *, revision: str | None = None, progress: Progress | None = None) -> Path:
    """The local folder of a model, downloaded if it is a Hugging Face id that is not here yet, and safe to load.

    Args:
        model: a folder, or an id such as Qwen/Qwen3-0.6B.
        progress: called with (bytes done, bytes in all or None) while downloading.

    Raises:
        ModelNotFoundError: no such folder, no such id, or no way to reach the hub.
        UnsafeModelError: the folder holds something that must not be loaded.
    """
    folder = Path(os.path.expanduser(model))
    if os.path.isdir(folder):  # no for a name that no folder can have, where `Path` raises
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


def find_tokenizer(name: str) -> Path:
    """The local folder of a tokenizer, of which no more than its few small files is needed or fetched.

    Args:
        name: a folder with a tokenizer.json, that file, or a Hugging Face id.

    Raises:
        ModelNotFoundError: as `find_model`.
    """
    if (folder := local_tokenizer(name)) is not None:
        return folder
    if not _HUB_ID.fullmatch(name) or name.startswith((".", "/")):
        raise ModelNotFoundError(
            f"There is no tokenizer {name!r}, and it is not a Hugging Face id (owner/name).",
            hint="Give a folder with tokenizer.json and tokenizer_config.json, or an id.",
        )
    return _download(name, None, None, wanted=_WANTED_OF_TOKENIZER, proof="tokenizer.json")


def _download(
    model: str,
    revision: str | None,
    progress: Progress | None,
    *,
    wanted: Sequence[str] = _WANTED,
    proof: str = "config.json",
) -> Path:
    """A snapshot with at least `wanted`; one that is here is enough if it has the file `proof`."""
    # Imported here: the server never needs it, and it comes with the `train` extra.
    try:
        from huggingface_hub import errors as hub
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ModelNotFoundError(
            f"{model} is a Hugging Face id, and the training packages are not installed.",
            hint='Install them with `pip install "opd-studio[train]"`, or give the path of a model folder.',
        ) from None
    options: dict[str, Any] = {"revision": revision, "allow_patterns": list(wanted), "etag_timeout": 5}
    try:
        here = Path(snapshot_download(model, local_files_only=True, **options))
        if (here / proof).is_file():
            return here
    except (hub.LocalEntryNotFoundError, hub.HFValidationError, OSError):
        pass  # not here yet
    reason = "it is not on this machine, and the Hugging Face hub cannot be reached"
    way_out = "Connect to the internet, or give the path of a model folder."
    try:
        found = Path(snapshot_download(model, tqdm_class=_progress_class(progress), **options))
        if (found / proof).is_file():  # offline the client is content with what is here
            return found
    except hub.GatedRepoError:
        reason, way_out = (
            "its owner asks you to accept terms first",
            f"Accept them on the page of {model}, then log in.",
        )
    except (hub.RepositoryNotFoundError, hub.RevisionNotFoundError, hub.HFValidationError):
        reason, way_out = "there is no such id" + (f" with revision {revision}" if revision else ""), ""
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, OSError):
        pass
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
