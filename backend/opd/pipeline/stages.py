"""The stages of a run: teacher answers, warm start, distillation, baseline. Each can be repeated after a crash.

In: a `Stage` (everything loaded). Out: a trained student, events through the reporter, results in the run's folder.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from opd.config import DivergenceObjective, GoldObjective, RunConfig
from opd.data_loader import PromptRecord
from opd.errors import StorageError
from opd.events import AlarmRaised, CheckpointSaved, RunResumed, StepLogged
from opd.pipeline.beside import LineReporter
from opd.pipeline.reporter import Reporter, StopRequested, finite
from opd.pipeline.results import Results
from opd.store.runs import RunFolder
from opd.training import checkpoint
from opd.training.decoding import Completion, generate
from opd.training.models import Student, peak_learning_rate
from opd.training.plan import WindowPlan, derive_seed
from opd.training.signals import Likelihood, LocalDistribution
from opd.training.trainer import OPDTrainer
from opd.training.window_trainer import Hooks, Metrics, Recipe

if TYPE_CHECKING:
    from opd.training.gold import GoldTrainer

_ANSWER_BATCH = 64
StageName = Literal["distillation", "warm_start", "baseline"]


@dataclass
class Workbench:
    """What all stages share."""

    folder: RunFolder
    config: RunConfig
    reporter: Reporter | LineReporter
    results: Results
    device: torch.device
    teacher: Any
    prompts: Sequence[PromptRecord]
    prompt_ids: list[list[int]]
    observe_step: Callable[[int, Metrics], None]
    """Called after each distillation step: alarms, live samples."""
    recall_steps: Callable[[int], None]
    """Called when the distillation goes on after this step: what was learnt from the steps before is learnt again."""

    @property
    def scratch(self) -> Path:
        return self.folder.path / "scratch"

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


def needs_answers(config: RunConfig) -> bool:
    """Whether some stage trains on the teacher's own answers."""
    return config.on_policy_fraction < 1 or config.warm_start.steps > 0 or config.baseline.enabled


def teacher_answers(bench: Workbench, student: Student) -> list[Completion]:
    """One answer of the teacher to every training prompt, sampled once and kept with the run."""

    def ask() -> list[list[Any]]:
        bench.reporter.phase("answering", total=len(bench.prompt_ids), unit="prompts")
        answers = generate(
            bench.teacher,
            bench.prompt_ids,
            seeds=[derive_seed(bench.config.seed, "answer", i) for i in range(len(bench.prompt_ids))],
            max_new_tokens=bench.config.sampling.max_completion_tokens,
            eos_ids=student.eos_ids,
            pad_id=student.pad_id,
            temperature=bench.config.sampling.temperature,
            batch_size=_ANSWER_BATCH,
            progress=bench.reporter.progress,
        )
        return [[list(answer.ids), answer.finished] for answer in answers]

    return [Completion(tuple(ids), bool(finished)) for ids, finished in bench.results.once("answers", ask)]


def distill(bench: Workbench, student: Student, answers: list[Completion] | None, *, resuming: bool) -> int:
    """The distillation stage, from its newest verified checkpoint if it has one.

    Returns:
        Steps done.

    Raises:
        StopRequested: after the current step; a checkpoint of it is written unless it was to be discarded.
    """
    config, reporter = bench.config, bench.reporter
    root = bench.folder.checkpoints_path
    found, rejected = checkpoint.newest_verified(root, config_digest=config.digest())
    guard = _DiskGuard(root, reporter, student.model)
    trainer = _trainer(
        bench,
        student,
        answers,
        Hooks(
            on_step=lambda step, metrics: _on_step(bench, step, metrics),
            on_gap=lambda step, metrics: reporter.emit(StepLogged(step=step, metrics=finite(metrics))),
            should_stop=lambda: reporter.stop_mode() is not None,
            save_every=config.checkpoint.every_steps,
            save_root=root,
            save_keep=config.checkpoint.keep,
            before_save=guard.look,
            save_facts=lambda: {"config_digest": config.digest(), "events_seq": reporter.seq, "machine": machine()},
            on_saved=lambda saved, duration_s: reporter.emit(_saved_event(saved, duration_s)),
        ),
    )
    if resuming:
        reporter.emit(_resumed_event(found, rejected))
        bench.recall_steps(found.step if found else 0)
    reporter.phase("distilling", total=config.max_steps, unit="steps")
    if found is None or found.step < config.max_steps:
        guard.look(found.step if found else 0)
        trainer.train(resume_from_checkpoint=str(found.path) if found else None)
    else:
        checkpoint.load_learned(student.model, found.path)
        return found.step
    step = int(trainer.state.global_step)
    mode = reporter.stop_mode()
    if mode == "save" or (mode is None and step % config.checkpoint.every_steps):
        trainer.save_now()
    if mode is not None and step < config.max_steps:
        raise StopRequested(mode)
    return step


def _on_step(bench: Workbench, step: int, metrics: Metrics) -> None:
    bench.reporter.step(StepLogged(step=step, metrics=finite(metrics)), step)
    bench.observe_step(step, metrics)


class _DiskGuard:
    """Looks at the free space before the first step and every checkpoint.

    A disk that is filled to the last byte takes the log with it; and hours of work need a place to go.
    """

    def __init__(self, root: Path, reporter: Reporter | LineReporter, model: Any):
        self._root, self._reporter, self._warned = root, reporter, False
        learned = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        self._expected = 3 * learned  # the weights and AdamW's two moments of each

    def look(self, step: int) -> None:
        """Warn once when two more checkpoints would not fit.

        Raises:
            StorageError: not even one fits; nothing was written.
        """
        needed = checkpoint.last_size(self._root) or self._expected
        self._root.mkdir(exist_ok=True)
        free = shutil.disk_usage(self._root).free
        found = f"{free / 1e6:,.0f} MB are free, a checkpoint takes {needed / 1e6:,.0f} MB."
        if free < needed:
            raise StorageError(
                f"There is no room for a checkpoint at step {step}: {found}",
                hint="Free disk space (`opd runs delete`) and resume: what was saved before is whole.",
                details={"step": step, "free_bytes": free, "needed_bytes": needed},
            )
        if free < 2 * needed and not self._warned:
            self._reporter.emit(
                AlarmRaised(
                    code="disk_low",
                    severity="warning",
                    step=step,
                    what="The disk is almost full.",
                    why=found,
                    advice="Free disk space, for example with `opd runs delete`; without room the run pauses.",
                )
            )
        self._warned = free < 2 * needed


def _trainer(
    bench: Workbench, student: Student, answers: list[Completion] | None, hooks: Hooks
) -> OPDTrainer | GoldTrainer:
    """The trainer of the distillation stage: which one, the objective decides."""
    config, objective = bench.config, bench.config.objective
    num = len(bench.prompt_ids)
    plan = WindowPlan(num, config.batch_size, config.max_steps, config.on_policy_fraction, config.seed)
    recipe = bench.recipe(peak_learning_rate(config, student.facts))
    common: dict[str, Any] = {"answers": answers, "hooks": hooks, "output_dir": bench.scratch}
    match objective:
        case DivergenceObjective():
            itself = config.teacher.model == config.student.model
            signal = LocalDistribution(bench.teacher, beta=objective.beta, as_student=itself)
            return OPDTrainer(student, signal, bench.prompt_ids, plan, recipe, **common)
        case GoldObjective():
            from opd.training.gold import GoldTrainer

            return GoldTrainer(student, bench.teacher, bench.prompt_ids, plan, recipe, beta=objective.beta, **common)


def imitate(
    bench: Workbench,
    student: Student,
    answers: list[Completion],
    *,
    stage: StageName,
    steps: int,
    learning_rate: float,
    rows: Sequence[int] | None = None,
    done_before: int = 0,
) -> None:
    """Supervised fine-tuning on the teacher's answers: the warm start, and the baseline's candidates.

    Args:
        rows: train on these prompts only (the rest is kept for choosing a learning rate).
        done_before: steps of earlier candidates, for the phase's progress.
    """
    chosen = list(rows) if rows is not None else list(range(len(bench.prompt_ids)))
    suffix = f"@{learning_rate:g}" if stage == "baseline" else ""

    def on_step(step: int, metrics: Metrics) -> None:
        shown = {f"{name}{suffix}": metrics.get(name) for name in ("loss", "grad_norm", "learning_rate", "entropy")}
        bench.reporter.step(StepLogged(stage=stage, step=step, metrics=finite(shown)), done_before + step)
        if mode := bench.reporter.stop_mode():
            raise StopRequested(mode)

    recipe = bench.recipe(learning_rate)
    trainer = OPDTrainer(
        student,
        Likelihood(),
        [bench.prompt_ids[i] for i in chosen],
        WindowPlan(len(chosen), bench.config.batch_size, steps, 0.0, bench.config.seed),
        recipe,
        answers=[answers[i] for i in chosen],
        hooks=Hooks(on_step=on_step),
        output_dir=bench.scratch,
    )
    trainer.train()


def _saved_event(saved: checkpoint.Checkpoint, duration_s: float) -> CheckpointSaved:
    files = saved.manifest["files"].values()
    return CheckpointSaved(step=saved.step, num_bytes=sum(f["num_bytes"] for f in files), duration_s=duration_s)


def _resumed_event(found: checkpoint.Checkpoint | None, rejected: list[checkpoint.Rejected]) -> RunResumed:
    reasons = [r.reason for r in rejected]
    if found is None:
        return RunResumed(step=0, exactness="exact", reason=" ".join([*reasons, "No checkpoint yet: from step 1."]))
    differing = {k for k, v in machine().items() if found.manifest.get("machine", {}).get(k) != v}
    if differing:
        reasons.append(f"The checkpoint was made with other {', '.join(sorted(differing))}.")
    return RunResumed(
        step=found.step,
        exactness="continued" if differing else "exact",
        reason=" ".join([*reasons, f"From the verified checkpoint of step {found.step}."]),
    )


def machine() -> dict[str, str]:
    """What has to be equal for a resume to give the same bits."""
    return {
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "trl": version("trl"),
        "processor": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
