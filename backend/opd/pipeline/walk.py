"""The path of a run, stage by stage; see `run.py` for what surrounds it."""

from __future__ import annotations

from collections.abc import Mapping

from opd.errors import NotWaitedForError
from opd.evaluation.judge import Judgement
from opd.evaluation.regime import regime_remarks
from opd.evaluation.report import write_reports
from opd.evaluation.verdict import reach_verdict
from opd.pipeline.answers_only.answering import answer
from opd.pipeline.answers_only.expansion import expand
from opd.pipeline.answers_only.training import tell_training
from opd.pipeline.artefact import keep_recommended, keep_student
from opd.pipeline.baseline import Baseline
from opd.pipeline.distillation import distill
from opd.pipeline.imitation import needs_answers, teacher_answers
from opd.pipeline.judging import judge_answers
from opd.pipeline.measuring import Measurements
from opd.pipeline.reporter import Reporter, StopRequested
from opd.pipeline.warm_start import warm_start, warm_started
from opd.pipeline.watching import Watcher
from opd.pipeline.workbench import Workbench, set_up
from opd.store.runs import RunFolder
from opd.training.decoding import Completion


def walk(folder: RunFolder, reporter: Reporter, keys: Mapping[str, str]) -> None:
    """Take a run to its verdict.

    Raises:
        StopRequested: the person asked for an end.
        OPDError: the run cannot go on; says why.
    """
    resuming = reporter.seq > 0
    try:
        bench = set_up(folder, reporter, keys)
        try:
            _stages(bench, reporter, keys, resuming=resuming)
        finally:
            bench.teacher.close()
    except NotWaitedForError:
        raise StopRequested(reporter.stop_mode() or "save") from None


def _stages(bench: Workbench, reporter: Reporter, keys: Mapping[str, str], *, resuming: bool) -> None:
    config, measurements, watcher = bench.config, Measurements(bench), Watcher(bench)
    measurements.of_model("before", bench.student.model, "evaluating_before")
    watcher.first_samples()
    answers: list[Completion] | None = None
    if config.objective.needs == "text":
        bench, answers = answer(expand(bench))
    elif needs_answers(config):
        answers = teacher_answers(bench)
    if config.warm_start.steps and answers is not None:
        warm_start(bench, measurements, answers)
    baseline = Baseline(bench, measurements, answers)
    if config.baseline.enabled and config.objective.needs != "text":
        watcher.beside = baseline.start_beside()
    try:
        steps = distill(bench, answers, watcher, measurements, resuming=resuming)
    except StopRequested as stop:
        if stop.mode == "save":
            keep_student(bench)
        raise
    finally:
        if reporter.stop_mode() and watcher.beside:
            watcher.beside.stop()
    if config.objective.needs == "text" and steps:
        tell_training(bench, steps)
    measurements.of_model("after", keep_student(bench), "evaluating_after")
    measurements.of_teacher()
    if config.baseline.enabled:
        baseline.finish(watcher.beside)
    elif config.warm_start.steps and config.objective.needs == "text":
        measurements.of_model("sft", warm_started(bench), "evaluating_after")
    measurements.of_checkpoints()
    judged = judge_answers(bench, measurements.evaluations, keys)
    reporter.phase("finalizing")
    _conclude(bench, measurements, judged)
    write_reports(bench.folder)


def _conclude(bench: Workbench, measurements: Measurements, judged: Judgement) -> None:
    """The verdict, if there is something to judge by; said once."""
    config = bench.config
    if not (config.evaluation.enabled and bench.prompts.test):
        return
    summary = bench.folder.summary()
    rates = config.baseline.learning_rates if config.baseline.enabled else config.warm_start.learning_rates
    tuned = len(rates) > 1
    verdict = reach_verdict(
        measurements.evaluations,
        judged=judged,
        checkpoints=measurements.checkpoints,
        remarks=[*regime_remarks(config, len(bench.prompts.train)), *measurements.remarks],
        alarms=summary.alarms,
        baseline_name="tuned imitation" if tuned else "imitation",
        seed=config.seed,
    )
    keep_recommended(bench, verdict)
    if summary.verdict != verdict:
        bench.reporter.emit(verdict)
