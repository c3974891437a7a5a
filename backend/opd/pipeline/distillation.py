"""The distillation stage: from its newest verified checkpoint, if it has one, to its last step.

In: a `Workbench`, the teacher's answers where rows are not on-policy, a `Watcher`. Out: a trained student, checkpoints,
events.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from opd.config import GoldObjective
from opd.errors import BudgetReachedError, NotWaitedForError, TeacherAwayError
from opd.events import AlarmRaised, CheckpointSaved, RunResumed, StepLogged
from opd.pipeline.answers_only.guide import private_texts
from opd.pipeline.answers_only.training import answers_trainer
from opd.pipeline.disk_guard import DiskGuard
from opd.pipeline.measuring import Measurements
from opd.pipeline.reporter import StopRequested, finite
from opd.pipeline.teachers.across import AcrossRunTeacher
from opd.pipeline.teachers.local import LocalRunTeacher
from opd.pipeline.watching import Watcher
from opd.pipeline.workbench import Workbench
from opd.store.amendments import earlier_digests
from opd.training import checkpoint
from opd.training.decoding import Completion
from opd.training.models import peak_learning_rate
from opd.training.plan import WindowPlan
from opd.training.trainer import OPDTrainer
from opd.training.window_trainer import Hooks, Metrics

if TYPE_CHECKING:
    from opd.training.gold import GoldTrainer

_GOLD_ACROSS = AlarmRaised(
    code="gold_across_tokenizers",
    severity="warning",
    step=0,
    what="GOLD between two tokenizers is experimental.",
    why="Where they divide a number differently it cannot tell right digits from wrong ones; students have collapsed.",
    advice="Choose objective divergence: it compares texts (prefix marginalisation) and is the tested way.",
)


def distill(
    bench: Workbench,
    answers: list[Completion] | None,
    watcher: Watcher,
    measurements: Measurements,
    *,
    resuming: bool,
) -> int:
    """Train the student.

    Returns:
        Steps done; 0 where the objective found nothing to learn from and the stage was left out.

    Raises:
        StopRequested: after the current step; a checkpoint of it is written unless it was to be discarded.
    """
    config, reporter, student = bench.config, bench.reporter, bench.student
    root = bench.folder.checkpoints_path
    usable = {config.digest(), *earlier_digests(bench.folder)}
    found, rejected = checkpoint.newest_verified(root, config_digests=usable)
    guard = DiskGuard(root, reporter, student.model)

    def on_step(step: int, metrics: Metrics) -> None:
        reporter.step(StepLogged(step=step, metrics=finite(metrics)), step)
        watcher.observe(step, metrics)

    trainer = _trainer(
        bench,
        answers,
        measurements,
        Hooks(
            on_step=on_step,
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
    if trainer is None:
        return 0
    watcher.keep_private(private_texts(bench))
    if resuming:
        reporter.emit(_resumed_event(found, rejected, config.digest(), is_amended=len(usable) > 1))
        watcher.recall(found.step if found else 0)
    elif isinstance(config.objective, GoldObjective) and isinstance(bench.teacher, AcrossRunTeacher):
        reporter.emit(_GOLD_ACROSS)
    reporter.phase("distilling", total=config.max_steps, unit="steps")
    if found is None or found.step < config.max_steps:
        guard.look(found.step if found else 0)
        try:
            trainer.train(resume_from_checkpoint=str(found.path) if found else None)
        except (TeacherAwayError, BudgetReachedError) as error:
            # The step under way has changed nothing, so what the last one left is kept and gone on from.
            wished = reporter.stop_mode() if isinstance(error, NotWaitedForError) else None
            if wished != "discard" and trainer.state.global_step > (found.step if found else 0):
                trainer.save_now()
            if wished is not None:
                raise StopRequested(wished) from None
            raise
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


def _trainer(
    bench: Workbench, answers: list[Completion] | None, measurements: Measurements, hooks: Hooks
) -> OPDTrainer | GoldTrainer | None:
    """The trainer of the distillation stage: which one, the objective decides."""
    if bench.config.objective.needs == "text" and answers is not None:
        return answers_trainer(bench, answers, measurements, hooks)
    config, objective, student = bench.config, bench.config.objective, bench.student
    num = len(bench.train_ids)
    plan = WindowPlan(num, config.batch_size, config.max_steps, config.on_policy_fraction, config.seed)
    recipe = bench.recipe(peak_learning_rate(config, student.facts))
    common: dict[str, Any] = {"answers": answers, "hooks": hooks, "output_dir": bench.scratch}
    if isinstance(objective, GoldObjective) and isinstance(bench.teacher, LocalRunTeacher | AcrossRunTeacher):
        from opd.training.gold import GoldTrainer
        from opd.training.gold_across import TeacherSide

        if isinstance(bench.teacher, AcrossRunTeacher):
            maps = bench.teacher.reading.correspondence
            common["across"] = TeacherSide(maps.student, maps.teacher, bench.teacher.prompts)
        teacher = bench.teacher.model
        return GoldTrainer(student, teacher, bench.train_ids, plan, recipe, beta=objective.beta, **common)
    signal = bench.teacher.signal()
    if signal is None:
        raise TypeError(f"a {config.teacher.type} teacher gives no signal for the objective {objective.type}")
    return OPDTrainer(student, signal, bench.train_ids, plan, recipe, **common)


def _saved_event(saved: checkpoint.Checkpoint, duration_s: float) -> CheckpointSaved:
    files = saved.manifest["files"].values()
    return CheckpointSaved(step=saved.step, num_bytes=sum(f["num_bytes"] for f in files), duration_s=duration_s)


def _resumed_event(
    found: checkpoint.Checkpoint | None, rejected: list[checkpoint.Rejected], digest: str, *, is_amended: bool
) -> RunResumed:
    reasons = [r.reason for r in rejected]
    if found is None:
        reasons.append("No checkpoint yet: from step 1.")
        return RunResumed(step=0, exactness="continued" if is_amended else "exact", reason=" ".join(reasons))
    other_settings = found.manifest["config_digest"] != digest
    if other_settings:
        reasons.append("The run's settings were changed before it went on.")
    differing = {k for k, v in machine().items() if found.manifest.get("machine", {}).get(k) != v}
    if differing:
        reasons.append(f"The checkpoint was made with other {', '.join(sorted(differing))}.")
    return RunResumed(
        step=found.step,
        exactness="continued" if differing or other_settings else "exact",
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
