"""Loading student, teacher and tokenizer, and the checks that need their files.

In: the run's configuration. Out: models on the device, ready to train or to score; every failure names what does not
fit and the way out. Everything passes the gate of `opd.model_files` first; no code of a model folder ever runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from opd.config import RunConfig, StudentConfig
from opd.data_loader import PromptRecord
from opd.errors import ModelMismatchError
from opd.model_files import ModelFacts, Progress, find_model, read_facts

_FULL_BELOW_PARAMETERS = 1_000_000_000
_LORA_LEARNING_RATE, _FULL_LEARNING_RATE = 1e-4, 1e-5


@dataclass(frozen=True)
class Student:
    """The model that learns. `trains_adapter`: only low-rank adapters learn."""

    model: Any
    tokenizer: Any
    facts: ModelFacts
    eos_ids: tuple[int, ...]
    pad_id: int
    trains_adapter: bool


def pin_threads(config: RunConfig) -> int:
    """Fix the number of CPU threads; another number would change the last bits of every sum."""
    import psutil

    wanted = os.environ.get("OMP_NUM_THREADS", "")
    everybodys = int(wanted) if wanted.isdecimal() else 0
    num = config.num_threads or everybodys or psutil.cpu_count(logical=False) or os.cpu_count() or 1
    torch.set_num_threads(num)
    return num


def pick_device(config: RunConfig) -> torch.device:
    """The device of the run: as asked, else a GPU if there is one.

    Raises:
        ModelMismatchError: the asked-for device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if config.device != "auto":
        if not there[config.device]:
            raise ModelMismatchError(
                f"device is {config.device}, but this machine's PyTorch sees no such device.",
                hint="Use device: auto, or install the PyTorch build for your GPU.",
            )
        return torch.device(config.device)
    return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))


def pick_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Number format of weights: as asked; auto is bfloat16 on GPUs that support it, else float32."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[wanted]
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def trains_adapter(config: StudentConfig, facts: ModelFacts) -> bool:
    """Whether adapters learn instead of all weights: as asked, else from 1 B parameters on."""
    return config.training == "lora" or (config.training == "auto" and facts.num_parameters >= _FULL_BELOW_PARAMETERS)


def peak_learning_rate(config: RunConfig, facts: ModelFacts) -> float:
    """The configured learning rate, else the default of what learns."""
    if config.learning_rate is not None:
        return config.learning_rate
    return _LORA_LEARNING_RATE if trains_adapter(config.student, facts) else _FULL_LEARNING_RATE


def load_student(config: RunConfig, device: torch.device, *, progress: Progress | None = None) -> Student:
    """The student with its tokenizer; with fresh adapters where adapters learn.

    Raises:
        ModelNotFoundError, UnsafeModelError: from the gate.
        ModelMismatchError: no chat template, or no end token.
    """
    folder = find_model(config.student.model, revision=config.student.revision, progress=progress)
    facts = read_facts(folder)
    tokenizer = load_tokenizer(folder)
    adapter = trains_adapter(config.student, facts)
    # All weights learn in float32 even on a GPU (autocast computes in bfloat16): updates below bfloat16's
    # resolution would be lost. Frozen weights under adapters may be stored in bfloat16.
    dtype = pick_dtype(config.student.dtype, device) if adapter or config.student.dtype != "auto" else torch.float32
    model = load_weights(folder, dtype, device)
    if adapter:
        model = with_adapter(model, config)
    return Student(model, tokenizer, facts, end_token_ids(model, tokenizer), int(tokenizer.pad_token_id), adapter)


def load_teacher(folder: Path, dtype: str, device: torch.device) -> Any:
    """A model that is read and never trained."""
    model = load_weights(folder, pick_dtype(dtype, device), device)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def load_weights(folder: Path, dtype: torch.dtype | Literal["auto"], device: torch.device) -> Any:
    """A causal language model from a folder that passed the gate. dtype auto: as its weights are stored."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # a run's log is read by people, not watched in a terminal
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    return model.to(device)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, padding on the left, with a padding token.

    Raises:
        ModelMismatchError: it has no chat template.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, padding_side="left", trust_remote_code=False, local_files_only=True
    )
    if not tokenizer.chat_template:
        raise ModelMismatchError(
            f"The tokenizer in {folder} has no chat template, expected one that renders system and user messages.",
            hint="Take the instruct or chat version of this model; base models usually have none.",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def end_token_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Every id that ends an answer: the model's own list first, the tokenizer's beside it.

    Raises:
        ModelMismatchError: there is none, so no completion would ever end.
    """
    declared = getattr(model.generation_config, "eos_token_id", None)
    ids = list(declared) if isinstance(declared, list | tuple) else [declared] if declared is not None else []
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ids:
        ids.append(tokenizer.eos_token_id)
    if not ids:
        raise ModelMismatchError(
            "The model declares no end-of-text token, so no answer would ever end.",
            hint="Add eos_token_id to its generation_config.json, or take the instruct version of the model.",
        )
    return tuple(int(i) for i in ids)


def encode_prompts(
    tokenizer: Any, records: Sequence[PromptRecord], *, max_completion_tokens: int, context_length: int
) -> list[list[int]]:
    """Prompts through the chat template, ready for an answer.

    Raises:
        ModelMismatchError: a prompt and the longest completion do not fit into the context.
    """
    conversations = [list(record.messages) for record in records]
    encoded = tokenizer.apply_chat_template(conversations, add_generation_prompt=True, tokenize=True, return_dict=True)[
        "input_ids"
    ]
    longest = max(range(len(encoded)), key=lambda i: len(encoded[i]))
    if context_length and len(encoded[longest]) + max_completion_tokens > context_length:
        raise ModelMismatchError(
            f"The prompt in line {records[longest].line} has {len(encoded[longest]):,} tokens; with a completion of "
            f"{max_completion_tokens:,} that is more than the model's context of {context_length:,}.",
            hint="Lower sampling.max_completion_tokens, shorten the prompt, or take a model with a longer context.",
        )
    return [list(ids) for ids in encoded]


def decode_text(tokenizer: Any) -> Callable[[Sequence[int]], str]:
    """From completion ids to the text a person reads, without special tokens."""
    return lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True))


def with_adapter(model: Any, config: RunConfig) -> Any:
    """The model with fresh adapters as configured, in training mode."""
    from peft import LoraConfig, get_peft_model

    lora = config.student.lora
    torch.manual_seed(config.seed)  # the adapters' first weights are drawn here
    return get_peft_model(
        model,
        LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )


def backbone_of(model: Any) -> nn.Module:
    """The decoder stack below the output head, adapters included."""
    base = model.base_model.model if hasattr(model, "peft_config") else model
    backbone: nn.Module = base.base_model
    return backbone


def causal_lm_of(model: Any) -> Any:
    """The causal language model itself, below an adapter wrapper if there is one."""
    return model.base_model.model if hasattr(model, "peft_config") else model
