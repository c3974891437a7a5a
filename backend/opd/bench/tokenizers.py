"""What a teacher with another tokenizer costs an optimizer step, beside one with the student's own.

In: the demo's student, its teacher, and the teacher of the same size whose tokens hold several digits. Out:
`TokenizersReport`. Both trainers live in one process and take turns step by step with the same prompts and seeds, so
they learn from the same texts and a busy machine slows both.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from opd.bench.report import Spread
from opd.data_loader import PromptRecord, load_prompts
from opd.demo.bundled import teacher_dir
from opd.demo.other_tokenizer import other_teacher
from opd.demo.settings import demo_config
from opd.objectives.alignment import Correspondence, TextCodec
from opd.teachers.tokenizer_folder import TokenizerFolder
from opd.training.across import AcrossView, ModelLaws
from opd.training.models import Student, encode_prompts, load_student, load_teacher
from opd.training.plan import WindowPlan
from opd.training.signals import LocalDistribution, Signal
from opd.training.trainer import OPDTrainer
from opd.training.views import ViewSignal
from opd.training.window_trainer import Hooks, Recipe

PHASES = ("rollout", "teacher", "student", "loss", "backward", "optimizer")
_WARM_UP = 3  # the first steps build the optimizer and what is kept for each token
_LEARNING_RATE = 1e-6  # the work of learning, and texts that stay alike

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TokenizersReport:
    """Seconds a step of each, and how many times as long the step between two tokenizers took."""

    threads: int
    same_tokenizer_s: Spread
    cross_tokenizer_s: Spread
    ratio: Spread
    """Step by step over the rounds."""
    phases_s: dict[str, dict[str, float]]
    """Mean seconds of each phase, by trainer."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        rows = ["| | s/step | " + " | ".join(PHASES) + " |", "| --- | --: |" + " --: |" * len(PHASES)]
        for name, spread in (("same tokenizer", self.same_tokenizer_s), ("another tokenizer", self.cross_tokenizer_s)):
            phases = " | ".join(f"{self.phases_s[name][phase]:.4f}" for phase in PHASES)
            rows.append(f"| {name} | {spread.median:.4f} ({spread.min:.4f}–{spread.max:.4f}) | {phases} |")
        ratio = self.ratio
        return "\n".join([*rows, "", f"{ratio.median:.2f} times as long ({ratio.min:.2f}–{ratio.max:.2f})."])


def run_tokenizers_bench(
    folder: Path, *, steps: int, threads: int, progress: Progress = lambda done, total, text: None
) -> TokenizersReport:
    """Measure.

    Args:
        folder: where the other teacher is, or is made.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        trainers = {
            "same tokenizer": _trainer(teacher_dir(), Path(scratch) / "same"),
            "another tokenizer": _trainer(other_teacher(folder), Path(scratch) / "other"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in trainers}
        phases = {name: dict.fromkeys(PHASES, 0.0) for name in trainers}
        for step in range(_WARM_UP + steps):
            progress(step, _WARM_UP + steps, f"step {step + 1}")
            order = list(trainers)[:: 1 if step % 2 else -1]  # nobody always follows the other
            for name in order:
                took, found = _step(trainers[name], step)
                if step >= _WARM_UP:
                    seconds[name].append(took)
                    for phase in PHASES:
                        phases[name][phase] += found[phase] / steps
    same, across = seconds.values()
    ratios = [b / a for a, b in zip(same, across, strict=True)]
    return TokenizersReport(threads, Spread.of(same), Spread.of(across), Spread.of(ratios), phases)


def _step(trainer: OPDTrainer, step: int) -> tuple[float, dict[str, float]]:
    """Seconds of one optimizer step, and of its phases."""
    trainer.clock.take()
    begun = time.perf_counter()
    trainer.training_step(trainer.model, trainer.plan[step])
    with trainer.clock("optimizer"):
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
    took, times = time.perf_counter() - begun, trainer.clock.take()
    return took, {phase: times.get(f"time/{phase}_s", 0.0) for phase in PHASES}


def _trainer(teacher: Path, scratch: Path) -> OPDTrainer:
    config, device = demo_config(), torch.device("cpu")
    student, records = load_student(config, device), load_prompts(config.data.path)
    most = config.sampling.max_completion_tokens
    prompts = encode_prompts(student.tokenizer, records, max_completion_tokens=most, context_length=0)
    trainer = OPDTrainer(
        student,
        _signal(student, teacher, records, [tuple(ids) for ids in prompts]),
        prompts,
        WindowPlan(len(prompts), config.batch_size, config.max_steps, 1.0, config.seed),
        Recipe(_LEARNING_RATE, warmup_steps=0, max_completion_tokens=most),
        hooks=Hooks(),
        output_dir=scratch,
    )
    trainer.create_optimizer()
    return trainer


def _signal(student: Student, teacher: Path, records: list[PromptRecord], prompts: list[tuple[int, ...]]) -> Signal:
    model = load_teacher(teacher, "auto", torch.device("cpu"))
    mine, theirs = TokenizerFolder.load(Path(student.facts.path)), TokenizerFolder.load(teacher)
    if mine.vocabulary == theirs.vocabulary:
        return LocalDistribution(model, beta=1.0)
    sides = [
        TextCodec(student.tokenizer, vocab_size=student.facts.vocab_size, eos_ids=student.eos_ids),
        TextCodec(theirs, vocab_size=theirs.facts.vocab_size, eos_ids=theirs.eos_ids),
    ]
    read = [tuple(theirs.encode(theirs.render(list(record.messages)))) for record in records]
    laws = ModelLaws(model, pad_id=theirs.eos_ids[0])
    return ViewSignal(AcrossView(Correspondence(*sides), laws, dict(zip(prompts, read, strict=True)), beta=1.0))
