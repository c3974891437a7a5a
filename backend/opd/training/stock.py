"""TRL's own trainers exactly as they come, for `opd bench` to compare with.

In: models, a tokenizer, prompts as text, the same numbers for both. Out: a trainer whose `train()` anyone could have
called. Nothing of ours is inside; `gold.GoldTrainer` is the repaired one that runs use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback


def gold_trainer(
    student: Any,
    teacher: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    references: Sequence[str],
    *,
    beta: float,
    max_length: int,
    teacher_tokenizer: Path | None = None,
    **settings: Any,
) -> Any:
    """GOLDTrainer on the student's own text alone (lambda 1), sampling from the model as it is.

    Args:
        prompts: text of each prompt.
        references: a completion for each: unused at lambda 1, but the trainer wants the column.
        teacher_tokenizer: folder of the teacher's, where it is another one; its loss is then the hybrid one that its
            documentation recommends, all else as it comes.
        settings: see `_arguments`.
    """
    from trl.experimental.gold import GOLDConfig, GOLDTrainer

    across = {} if teacher_tokenizer is None else {
        "use_uld_loss": True, "uld_use_hybrid_loss": True, "teacher_tokenizer_name_or_path": str(teacher_tokenizer)
    }  # fmt: skip
    arguments = GOLDConfig(
        **_arguments(**settings),
        **across,
        lmbda=1.0,
        beta=beta,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_length=max_length,
    )
    data = Dataset.from_dict({"prompt": list(prompts), "completion": list(references)})
    return _quiet(
        GOLDTrainer(
            model=student, teacher_model=teacher, args=arguments, train_dataset=data, processing_class=tokenizer
        )
    )


def distillation_trainer(
    student: Any, teacher: Any, tokenizer: Any, prompts: Sequence[str], *, beta: float, **settings: Any
) -> Any:
    """DistillationTrainer, which always trains on the student's own text. Arguments as `gold_trainer`."""
    from trl import DistillationConfig, DistillationTrainer

    arguments = DistillationConfig(**_arguments(**settings), beta=beta, temperature=1.0, top_p=1.0, top_k=0)
    data = Dataset.from_dict({"prompt": list(prompts)})
    return _quiet(
        DistillationTrainer(
            model=student, teacher_model=teacher, args=arguments, train_dataset=data, processing_class=tokenizer
        )
    )


def _arguments(
    *,
    output_dir: Path,
    device: torch.device,
    rows: int,
    accumulation: int,
    completion_tokens: int,
    learning_rate: float,
    num_steps: int,
    seed: int,
    warmup_steps: int = 0,
    lr_schedule: str = "constant",
) -> dict[str, Any]:
    """The same for both; `rows` is what one optimizer step trains on."""
    return {
        "output_dir": str(output_dir),
        "max_steps": num_steps,
        "per_device_train_batch_size": rows // accumulation,
        "gradient_accumulation_steps": accumulation,
        "max_completion_length": completion_tokens,
        "learning_rate": learning_rate,
        "lr_scheduler_type": lr_schedule,
        "warmup_steps": warmup_steps,
        "seed": seed,
        "disable_dropout": True,
        "activation_checkpointing": False,  # faster; memory is measured the same way for all
        "bf16": device.type == "cuda" and torch.cuda.is_bf16_supported(),
        "use_cpu": device.type == "cpu",
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
    }


def _quiet(trainer: Any) -> Any:
    trainer.remove_callback(PrinterCallback)
    return trainer
