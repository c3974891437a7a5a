"""A trial with TRL's GOLDTrainer as it comes: `python -m opd.bench.methods.stock_gold RUN_DIR`.

The same folder, models, prompts, steps and measurement as any other trial; only the trainer is not ours, and sees what
it asks for: texts, and a completion to each prompt.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from opd.config import GoldObjective, LocalTeacher, RunConfig
from opd.data_loader import PromptRecord, load_prompts
from opd.errors import ConfigError
from opd.evaluation.measure import Settings, Subject, evaluate_model
from opd.evaluation.summary import summarize
from opd.events import PhaseStarted, RunFinished, RunStarted, StepLogged
from opd.model_files import find_model
from opd.store.runs import RunFolder
from opd.training.models import (
    Student,
    decode_text,
    encode_prompts,
    load_student,
    load_weights,
    peak_learning_rate,
    pin_threads,
)
from opd.training.stock import gold_trainer

_CHUNK = 128


def run(folder: RunFolder) -> None:
    """Train and measure.

    Raises:
        ConfigError: not a run of GOLD with a local teacher.
    """
    config = folder.config()
    if not isinstance(config.teacher, LocalTeacher) or not isinstance(config.objective, GoldObjective):
        raise ConfigError("Only GOLD with a local teacher is a trial of the stock trainer.", hint="See catalogue.py.")
    pin_threads(config)
    torch.manual_seed(config.seed)
    device = torch.device("cpu")
    student, prompts = load_student(config, device), load_prompts(config.data.path)
    lock, writer = folder.begin(), folder.writer()
    try:
        writer.append(
            RunStarted(
                name="TRL's GOLDTrainer as it comes",
                student=config.student.model,
                teacher=config.teacher.model,
                signal="as GOLDTrainer takes it",
                max_steps=config.max_steps,
                num_prompts=len(prompts),
                num_test_prompts=0,
            ),
            PhaseStarted(phase="distilling", total=config.max_steps, unit="steps"),
        )
        trainer = _trainer(folder, config, student, prompts)
        trainer.train()
        writer.append(*_steps(trainer.state.log_history), PhaseStarted(phase="evaluating_after"))
        writer.append(_measured(folder, config, student), RunFinished(outcome="done", step=config.max_steps))
        folder.end("done", step=config.max_steps)
    finally:
        writer.close()
        lock.release()


def _trainer(folder: RunFolder, config: RunConfig, student: Student, prompts: list[PromptRecord]) -> Any:
    assert isinstance(config.objective, GoldObjective)  # noqa: S101  # looked at above
    teacher = find_model(config.teacher.model)
    texts = [
        student.tokenizer.apply_chat_template(list(record.messages), add_generation_prompt=True, tokenize=False)
        for record in prompts
    ]
    warmup = config.warmup_steps if config.warmup_steps is not None else max(1, round(0.05 * config.max_steps))
    return gold_trainer(
        student.model,
        load_weights(teacher, torch.float32, torch.device("cpu")),
        student.tokenizer,
        texts,
        [record.answer or "." for record in prompts],
        beta=config.objective.beta,
        max_length=max(1, student.facts.context_length),
        teacher_tokenizer=teacher,
        output_dir=folder.path / "scratch",
        device=torch.device("cpu"),
        rows=config.batch_size,
        accumulation=1,
        completion_tokens=config.sampling.max_completion_tokens,
        learning_rate=peak_learning_rate(config, student.facts),
        num_steps=config.max_steps,
        seed=config.seed,
        warmup_steps=warmup,
        lr_schedule=config.lr_schedule,
    )


def _steps(history: list[dict[str, Any]]) -> list[StepLogged]:
    return [
        StepLogged(step=int(entry["step"]), metrics={name: float(entry[name]) for name in ("loss", "grad_norm")})
        for entry in history
        if "grad_norm" in entry
    ]


def _measured(folder: RunFolder, config: RunConfig, student: Student) -> Any:
    records = load_prompts(config.data.test_path or config.data.path)[: config.evaluation.max_prompts]
    evaluation = evaluate_model(
        Subject("after", student.model.eval(), "", student.eos_ids, student.pad_id),
        records,
        encode_prompts(
            student.tokenizer,
            records,
            max_completion_tokens=config.sampling.max_completion_tokens,
            context_length=student.facts.context_length,
        ),
        data=config.data,
        settings=Settings(
            max_completion_tokens=config.sampling.max_completion_tokens,
            num_scored_prompts=0,
            seed=config.seed,
            chunk_size=_CHUNK,
        ),
        decode=decode_text(student.tokenizer),
        run_path=folder.path,
    )
    return summarize("after", evaluation, seed=config.seed)


if __name__ == "__main__":
    run(RunFolder(Path(sys.argv[1])))
