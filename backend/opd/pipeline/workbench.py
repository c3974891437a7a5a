"""What all stages of a run share: data, models, device, and where facts and results go.

In: a run's folder. Out: `Workbench`. Each stage is repeatable after a crash; what it needs is here or in the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

import opd
from opd.config import RunConfig
from opd.data_loader import PromptRecord, load_prompts, split
from opd.errors import DataError
from opd.events import RunStarted
from opd.pipeline.beside import LineReporter
from opd.pipeline.reporter import Reporter
from opd.pipeline.results import Results
from opd.pipeline.teachers import RunTeacher, open_teacher
from opd.store.runs import RunFolder
from opd.training import checkpoint
from opd.training.models import Student, decode_text, encode_prompts, load_student, pick_device, pin_threads
from opd.training.window_trainer import Recipe


@dataclass(frozen=True)
class Prompts:
    """Training, held-out and validation prompts. `reserved`: all that are held out, measured on or not."""

    train: list[PromptRecord]
    test: list[PromptRecord]
    validation: list[PromptRecord]
    reserved: list[PromptRecord]


@dataclass(frozen=True)
class Workbench:
    """What all stages share. `student` is the model that the run trains; the baseline loads its own."""

    folder: RunFolder
    config: RunConfig
    reporter: Reporter | LineReporter
    results: Results
    device: torch.device
    student: Student
    teacher: RunTeacher
    prompts: Prompts
    train_ids: list[list[int]]
    test_ids: list[list[int]]
    decode: Callable[[Sequence[int]], str]

    @property
    def scratch(self) -> Path:
        return self.folder.path / "scratch"

    def encode(self, records: Sequence[PromptRecord]) -> list[list[int]]:
        """Prompts through the student's template."""
        return _encode(self.config, self.student, self.teacher, records)

    def fresh_student(self) -> Student:
        """The student as it was before the run."""
        return load_student(self.config, self.device)

    def recipe(self, learning_rate: float) -> Recipe:
        """The configured numbers with this peak learning rate."""
        config = self.config
        warmup = config.warmup_steps if config.warmup_steps is not None else max(1, round(0.05 * config.max_steps))
        return Recipe(
            learning_rate=learning_rate,
            warmup_steps=warmup,
            lr_schedule=config.lr_schedule,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            micro_batch_size=config.micro_batch_size,
            max_completion_tokens=config.sampling.max_completion_tokens,
            temperature=config.sampling.temperature,
            top_p=config.sampling.top_p,
            seed=config.seed,
        )


def set_up(folder: RunFolder, reporter: Reporter | LineReporter, keys: Mapping[str, str]) -> Workbench:
    """Load data and models.

    Raises:
        DataError: prompts that cannot be used, or that are others than when the run began.
        ModelNotFoundError, UnsafeModelError, ModelMismatchError: from loading.
    """
    config, results = folder.config(), Results(folder.path)
    reporter.phase("loading")
    prompts = _prompts(config, results)
    pin_threads(config)
    torch.manual_seed(config.seed)
    device = pick_device(config)
    student = load_student(config, device, progress=reporter.progress)
    records = [*prompts.train, *prompts.test, *prompts.validation]
    teacher = open_teacher(
        config,
        student,
        device,
        records=records,
        folder=folder,
        reporter=reporter,
        keys=keys,
        progress=reporter.progress,
    )
    test_ids, train_ids = (_encode(config, student, teacher, records) for records in (prompts.test, prompts.train))
    bench = Workbench(
        folder=folder,
        config=config,
        reporter=reporter,
        results=results,
        device=device,
        student=student,
        teacher=teacher,
        prompts=prompts,
        train_ids=train_ids,
        test_ids=test_ids,
        decode=decode_text(student.tokenizer),
    )
    if isinstance(reporter, Reporter) and folder.summary().started is None:
        reporter.emit(_started(bench))
    return bench


def _encode(
    config: RunConfig, student: Student, teacher: RunTeacher, records: Sequence[PromptRecord]
) -> list[list[int]]:
    if not records:
        return []
    return encode_prompts(
        student.tokenizer,
        records,
        max_completion_tokens=config.sampling.max_completion_tokens,
        context_length=min((n for n in (student.facts.context_length, teacher.context_length) if n), default=0),
    )


def _started(bench: Workbench) -> RunStarted:
    config = bench.config
    short = [Path(name).name for name in (config.student.model, config.teacher.model)]
    return RunStarted(
        name=config.name or f"{short[0]} learns from {short[1]}",
        student=config.student.model,
        teacher=config.teacher.model,
        signal=bench.teacher.words,
        max_steps=config.max_steps,
        num_prompts=len(bench.prompts.train),
        num_test_prompts=len(bench.prompts.test),
        versions={
            "opd-studio": opd.__version__,
            **{name: version(name) for name in ("torch", "transformers", "trl")},
        },
        device=torch.cuda.get_device_name() if bench.device.type == "cuda" else bench.device.type,
    )


def _prompts(config: RunConfig, results: Results) -> Prompts:
    """The same files as when the run began, or an error."""
    data = config.data
    records = load_prompts(data.path)
    if data.test_path:
        train, test = records, load_prompts(data.test_path)
    else:
        parts = split(records, data.test_fraction, config.seed)
        train, test = list(parts.train), list(parts.test)
    validation = load_prompts(data.validation_path) if data.validation_path else []
    digest = checkpoint.text_digest(*(r.id for r in (*records, *test, *validation)))
    if results.once("data", lambda: digest) != digest:
        raise DataError(
            "The prompt files have changed since this run began.",
            hint="Put the old files back to resume, or start a new run with the new ones.",
        )
    if not train:
        raise DataError("No prompt is left to train on.", hint="Lower data.test_fraction or add prompts.")
    return Prompts(list(train), list(test)[: config.evaluation.max_prompts], validation, list(test))
