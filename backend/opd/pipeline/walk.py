"""The path of a run, stage by stage; see `run.py` for what surrounds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TypeGuard

import torch

import opd
from opd.config import RunConfig
from opd.data_loader import PromptRecord, load_prompts, split
from opd.errors import DataError
from opd.evaluation.health import HealthMonitor
from opd.evaluation.measure import Scorer, Settings, Subject, evaluate_model, weights_digest
from opd.evaluation.report import write_reports
from opd.evaluation.results import Evaluation
from opd.evaluation.summary import per_prompt, summarize
from opd.evaluation.verdict import reach_verdict
from opd.events import RunEvent, RunStarted, SampleRecorded, StepLogged
from opd.pipeline import beside, stages
from opd.pipeline.beside import Beside, LineReporter
from opd.pipeline.reporter import Reporter, StopRequested
from opd.pipeline.results import Results
from opd.pipeline.samples import SampleRecorder
from opd.pipeline.stages import Workbench
from opd.store.runs import RunFolder
from opd.training import checkpoint
from opd.training.decoding import Completion
from opd.training.models import (
    Student,
    decode_text,
    encode_prompts,
    load_student,
    load_teacher,
    pick_device,
    pin_threads,
)
from opd.training.window_trainer import Metrics

_SCORED_PROMPTS = 100  # temperature-1 samples behind the reverse KL; its interval is narrow long before that
_EVALUATION_CHUNK = 128
_VERSIONS = ("torch", "transformers", "trl")

SubjectName = Literal["before", "sft", "after", "teacher"]


class Walk:
    """One run under way."""

    def __init__(self, folder: RunFolder, reporter: Reporter | LineReporter, *, resuming: bool):
        self.folder, self.reporter, self.results = folder, reporter, Results(folder.path)
        self.config: RunConfig = folder.config()
        self.resuming = resuming
        self.beside: Beside | None = None
        self.evaluations: dict[SubjectName, Evaluation] = {}
        self.monitor = HealthMonitor(self.config.sampling.max_completion_tokens)

    # --- loading ----------------------------------------------------------------------------------

    def load(self) -> None:
        """Data, models and the workbench that the stages share."""
        config, reporter = self.config, self.reporter
        reporter.phase("loading")
        self.train, self.test, self.validation = _prompts(config, self.results)
        pin_threads(config)
        torch.manual_seed(config.seed)
        self.device = pick_device(config)
        self.student = load_student(config, self.device, progress=reporter.progress)
        self.teacher = load_teacher(config, self.student, self.device, progress=reporter.progress)
        self.decode = decode_text(self.student.tokenizer)
        self.test_ids = self._encode(self.test)
        self.scorer = Scorer(self.teacher, weights_digest(self.teacher))
        self.samples = SampleRecorder(
            reporter, self.student, self.teacher, self.test, self.test_ids, config, self.decode
        )
        self.bench = Workbench(
            folder=self.folder,
            config=config,
            reporter=reporter,
            results=self.results,
            device=self.device,
            teacher=self.teacher,
            prompts=self.train,
            prompt_ids=self._encode(self.train),
            observe_step=self._observe_step,
            recall_steps=self._recall_steps,
        )
        if isinstance(reporter, Reporter) and self.folder.summary().started is None:
            reporter.emit(self._started())

    def _encode(self, records: Sequence[PromptRecord]) -> list[list[int]]:
        if not records:
            return []
        limits = [self.student.facts.context_length, getattr(self.teacher.config, "max_position_embeddings", 0)]
        return encode_prompts(
            self.student.tokenizer,
            records,
            max_completion_tokens=self.config.sampling.max_completion_tokens,
            context_length=min((n for n in limits if n), default=0),
        )

    def _started(self) -> RunStarted:
        config = self.config
        teacher = getattr(config.teacher, "model", "")
        short = [Path(name).name for name in (config.student.model, teacher)]
        return RunStarted(
            name=config.name or f"{short[0]} learns from {short[1]}",
            student=config.student.model,
            teacher=teacher,
            signal="token by token, full distribution",
            max_steps=config.max_steps,
            num_prompts=len(self.train),
            num_test_prompts=len(self.test),
            versions={
                "opd-studio": opd.__version__,
                **{name: version(name) for name in ("torch", "transformers", "trl")},
            },
            device=torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type,
        )

    def _observe_step(self, step: int, metrics: Metrics) -> None:
        self.reporter.emit(*self.monitor.observe(step, metrics))
        if self.beside is not None:
            self.beside.relay()
        if step % self.config.evaluation.probe_every_steps == 0 or step == self.config.max_steps:
            for sample in self.samples.record(step, self.student.model, "student"):
                self.reporter.emit(
                    *self.monitor.observe_sample(step, sample.text, truncated=False, prompt=sample.prompt)
                )

    def _recall_steps(self, last: int) -> None:
        """Show the monitor the steps that count, so that its alarms are those of an uninterrupted run."""
        steps = {e.step: e.metrics for e in self._logged() if _is_step(e) and e.step <= last}
        samples: dict[int, list[SampleRecorded]] = {}
        for event in self._logged():
            if isinstance(event, SampleRecorded) and event.author == "student" and 0 < event.step <= last:
                samples.setdefault(event.step, []).append(event)
        for step in sorted(steps):
            self.monitor.observe(step, steps[step])
            probes = samples.get(step, [])
            for sample in {sample.prompt_id: sample for sample in probes}.values():
                self.monitor.observe_sample(step, sample.text, truncated=False, prompt=sample.prompt)

    def _logged(self) -> Iterator[RunEvent]:
        after = 0
        with self.folder.reader() as reader:
            while page := reader.read(after):
                after = page[-1].seq
                yield from (stored.event for stored in page)

    def first_samples(self) -> None:
        """What student and teacher answer before the first step, each recorded once however often the run resumes."""
        earlier = takewhile(lambda event: not _is_step(event), self._logged())
        known = {event.author for event in earlier if isinstance(event, SampleRecorded)}
        if "student" not in known:
            self.samples.record(0, self.student.model, "student")
        if "teacher" not in known:
            self.samples.record(0, self.teacher, "teacher")

    # --- measuring --------------------------------------------------------------------------------

    def measure(
        self,
        name: SubjectName,
        model: Any,
        phase: Literal["evaluating_before", "evaluating_after"],
        *,
        announce: bool = True,
    ) -> None:
        """Held-out results of one model, once; `announce` writes them as an event."""
        if not (self.config.evaluation.enabled and self.test):
            return
        self.reporter.phase(phase, total=len(self.test), unit="prompts", detail=name)
        evaluation = evaluate_model(
            Subject(name, model, weights_digest(model), self.student.eos_ids, self.student.pad_id),
            self.test,
            self.test_ids,
            data=self.config.data,
            settings=Settings(
                max_completion_tokens=self.config.sampling.max_completion_tokens,
                num_scored_prompts=0 if name == "teacher" else _SCORED_PROMPTS,
                seed=self.config.seed,
                chunk_size=_EVALUATION_CHUNK,
            ),
            decode=self.decode,
            scorer=None if name == "teacher" else self.scorer,
            run_path=self.folder.path,
            progress=self.reporter.progress,
        )
        self.evaluations[name] = evaluation
        if announce and name not in self.folder.summary().evaluations:
            self.reporter.emit(summarize(name, evaluation, seed=self.config.seed))

    # --- training ---------------------------------------------------------------------------------

    def warm_start(self, answers: list[Completion]) -> None:
        """A short supervised stage; kept, so that a resumed run starts from the same weights."""
        config, kept = self.config.warm_start, self.folder.path / "warm_start"
        if self.results.get("warm_start") is None:
            self.reporter.phase("warm_start", total=config.steps, unit="steps")
            stages.imitate(
                self.bench, self.student, answers, stage="warm_start", steps=config.steps,
                learning_rate=config.learning_rate,
            )  # fmt: skip
            kept.mkdir(exist_ok=True)
            checkpoint.save_learned(self.student.model, kept)
            self.results.put("warm_start", {"steps": config.steps, "learning_rate": config.learning_rate})
        else:
            checkpoint.load_learned(self.student.model, kept)

    def start_baseline_beside(self) -> None:
        """Let a child train the baseline during distillation, where there is a core for it."""
        size = self.student.facts.num_parameters + sum(p.numel() for p in self.teacher.parameters())
        spare = beside.worthwhile(
            on_cpu=self.device.type == "cpu", threads=torch.get_num_threads(), num_parameters=size
        )
        if spare and self.results.get("baseline") is None and isinstance(self.reporter, Reporter):
            self.beside = Beside(self.folder, self.reporter)

    def baseline(self) -> None:
        """Imitation with as many steps, at the best of its learning rates: what distillation has to beat."""
        steps = self._num_baseline_steps()
        self.reporter.phase("baseline", total=steps, unit="steps", detail="choosing the learning rate")
        if self.beside is not None:
            self.beside.finish(steps)
        self.train_baseline()
        self.measure("sft", self.baseline_model(), "evaluating_after")

    def train_baseline(self) -> None:
        """Train the candidates and keep the best, unless that is done."""
        if self.results.get("baseline") is None:
            answers = stages.teacher_answers(self.bench, self.student)
            self.results.put("baseline", self._tune_baseline(answers))

    def baseline_model(self) -> Any:
        """The kept baseline."""
        student = self._fresh_student()
        checkpoint.load_learned(student.model, self.folder.path / "baseline")
        return student.model

    def _num_baseline_steps(self) -> int:
        return self.config.max_steps * (len(self.config.baseline.learning_rates) + (not self.validation))

    def _tune_baseline(self, answers: list[Completion]) -> dict[str, Any]:
        config, rates = self.config, self.config.baseline.learning_rates
        steps, num = config.max_steps, len(self.train)
        own_validation = self.validation or [r for i, r in enumerate(self.train) if i % 5 == 0]
        rows = None if self.validation else [i for i in range(num) if i % 5]
        scores: dict[float, float] = {}
        kept = self.folder.path / "baseline"
        kept.mkdir(exist_ok=True)
        for done, rate in enumerate(rates):
            student = self._fresh_student()
            stages.imitate(
                self.bench, student, answers, stage="baseline", steps=steps, learning_rate=rate, rows=rows,
                done_before=done * steps,
            )  # fmt: skip
            scores[rate] = self._validate(student, own_validation)
            if rows is None and scores[rate] == max(scores.values()):
                checkpoint.save_learned(student.model, kept)
        best = max(rates, key=lambda rate: scores[rate])
        if rows is not None:
            student = self._fresh_student()
            stages.imitate(
                self.bench, student, answers, stage="baseline", steps=steps, learning_rate=best,
                done_before=len(rates) * steps,
            )  # fmt: skip
            checkpoint.save_learned(student.model, kept)
        return {"learning_rate": best, "scores": {f"{rate:g}": score for rate, score in scores.items()}}

    def _validate(self, student: Student, records: Sequence[PromptRecord]) -> float:
        """Higher is better: exact match where answers can be checked, else minus the reverse KL."""
        subject = Subject("validation", student.model, "", self.student.eos_ids, self.student.pad_id)
        checkable = self.config.data.answer_match != "none"
        settings = Settings(
            max_completion_tokens=self.config.sampling.max_completion_tokens,
            num_scored_prompts=0 if checkable else None,
            seed=self.config.seed,
            chunk_size=_EVALUATION_CHUNK,
        )
        evaluation = evaluate_model(
            subject, records, self._encode(records), data=self.config.data, settings=settings, decode=self.decode,
            scorer=None if checkable else self.scorer,
        )  # fmt: skip
        return per_prompt(evaluation, "exact_match").mean if checkable else -per_prompt(evaluation, "reverse_kl").mean

    def _fresh_student(self) -> Student:
        return load_student(self.config, self.device)

    def keep_student(self) -> None:
        """Write the trained model as a folder that any tool can load."""
        model, target = self.student.model, self.folder.student_path
        if hasattr(model, "peft_config"):
            model = model.merge_and_unload()
            self.student = replace(self.student, model=model)
        stage = target.with_name(".student")
        model.save_pretrained(stage)
        self.student.tokenizer.save_pretrained(stage)
        checkpoint.replace_folder(stage, target)


def walk(folder: RunFolder, reporter: Reporter, keys: Mapping[str, str]) -> None:
    """Take a run to its verdict.

    Raises:
        StopRequested: the person asked for an end.
        OPDError: the run cannot go on; says why.
    """
    run = Walk(folder, reporter, resuming=reporter.seq > 0)
    run.load()
    config = run.config
    run.measure("before", run.student.model, "evaluating_before")
    run.first_samples()
    answers = stages.teacher_answers(run.bench, run.student) if stages.needs_answers(config) else None
    if config.warm_start.steps and answers is not None:
        run.warm_start(answers)
    if config.baseline.enabled:
        run.start_baseline_beside()
    try:
        stages.distill(run.bench, run.student, answers, resuming=run.resuming)
    except StopRequested as stop:
        if stop.mode == "save":
            run.keep_student()
        raise
    finally:
        if reporter.stop_mode() and run.beside:
            run.beside.stop()
    run.keep_student()
    run.measure("after", run.student.model, "evaluating_after")
    run.measure("teacher", run.teacher, "evaluating_after")
    if config.baseline.enabled:
        run.baseline()
    reporter.phase("finalizing")
    if config.evaluation.enabled and run.test:
        tuned = len(config.baseline.learning_rates) > 1
        verdict = reach_verdict(
            run.evaluations,
            alarms=folder.summary().alarms,
            baseline_name="tuned imitation" if tuned else "imitation",
            seed=config.seed,
        )
        if folder.summary().verdict != verdict:
            reporter.emit(verdict)
    write_reports(folder)


def _is_step(event: RunEvent) -> TypeGuard[StepLogged]:
    return isinstance(event, StepLogged) and event.stage == "distillation"


def _prompts(config: RunConfig, results: Results) -> tuple[list[PromptRecord], list[PromptRecord], list[PromptRecord]]:
    """Training, held-out and validation prompts; the same files as when the run began, or an error."""
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
    return list(train), list(test)[: config.evaluation.max_prompts], validation
