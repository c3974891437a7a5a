"""Runs as training leaves them, without the training: real folders, every weight moved a little."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch

from opd.config import parse_config
from opd.export.gguf_text import RULES
from opd.store.runs import RunFolder, RunStore
from opd.training import checkpoint
from opd.training.models import load_student


def dividing_by(rules: str, tokenizer: Any) -> Any:
    """A tokenizer that divides text exactly as a family does."""
    from tokenizers import Regex, pre_tokenizers

    tokenizer = copy.deepcopy(tokenizer)
    steps: list[Any] = [pre_tokenizers.Split(Regex(rule), "isolated") for rule in RULES[rules]]
    whole_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, whole_bytes])
    return tokenizer


def a_run(root: Path, model: Any, tokenizer: Any, *, training: str = "full") -> RunFolder:
    """A run whose student has learnt something, whatever it may be; its prompts are sums."""
    base = root / "base"
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    prompts = root / "prompts.jsonl"
    asked = [
        {"messages": [{"role": "user", "content": f"{a}+{a}?"}, {"role": "assistant", "content": str(2 * a)}]}
        for a in range(8)
    ]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in asked))
    config = parse_config(
        {
            "student": {"model": str(base), "training": training, "lora": {"rank": 4}},
            "teacher": {"type": "local", "model": str(base)},
            "data": {"path": str(prompts), "test_fraction": 0.5, "answer_match": "last_number"},
            "sampling": {"max_completion_tokens": 8},
            "device": "cpu",
        }
    )
    run = RunStore(root).create(config)
    student = load_student(config, torch.device("cpu"))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in student.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    for step in (2, 4):
        write = lambda folder: checkpoint.save_learned(student.model, folder)  # noqa: E731
        checkpoint.commit(run.checkpoints_path, step, write, {}, keep=2)
    merged = student.model.merge_and_unload() if training == "lora" else student.model
    merged.save_pretrained(run.student_path)
    tokenizer.save_pretrained(run.student_path)
    return run
