"""Fills a report from a run folder: its events, its configuration and its evaluations' files.

In: a `RunFolder`. Out: a `Report`, the same for the same folder: nothing is taken from the clock, the machine or the
process table. A report covers the run up to its newest verdict, so that what follows (clean-up, the end itself) does
not change it; a run without a verdict is covered up to its last event.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from opd.config import RunConfig
from opd.evaluation.report_model import Costs, PhaseTime, Report, SeriesPoint
from opd.evaluation.report_samples import choose_samples, count_transitions, prompt_table
from opd.evaluation.results import read_evaluation
from opd.events import (
    RUN_EVENT,
    PhaseStarted,
    RunFinished,
    RunResumed,
    RunSummary,
    SampleRecorded,
    StoredEvent,
    fold,
)
from opd.store.files import read_json
from opd.store.runs import RunFolder

SUBJECTS = ("before", "sft", "after", "teacher")
_MAX_POINTS = 300
_NANO = 1e-9


@dataclass
class _Told:
    """What a run's events amount to, up to its newest verdict."""

    summary: RunSummary = field(default_factory=RunSummary)
    samples: dict[tuple[str, int, str], SampleRecorded] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)


def build_report(run: RunFolder) -> Report:
    """The report on a run, finished or not."""
    config, told = run.config(), _tell(run)
    summary, started = told.summary, told.summary.started
    results = {
        subject: found
        for subject in SUBJECTS
        if subject in summary.evaluations and (found := read_evaluation(run.path, subject)) and found.answers
    }
    digest = config.digest()
    money = summary.money
    tokens = summary.latest.get("num_tokens")
    return Report(
        run_id=run.run_id,
        name=started.name if started else config.name,
        student=config.student.model,
        teacher=config.teacher.model,
        signal=started.signal if started else "",
        started=_iso(summary.started_time),
        device=started.device if started else "",
        versions=dict(sorted(started.versions.items())) if started else {},
        num_prompts=started.num_prompts if started else 0,
        num_test_prompts=started.num_test_prompts if started else 0,
        steps_done=summary.step,
        max_steps=config.max_steps,
        num_resumes=summary.num_resumes,
        exactness=summary.exactness,
        ended=_why_ended(summary),
        verdict=summary.verdict,
        evaluations=[summary.evaluations[s] for s in SUBJECTS if s in summary.evaluations],
        transitions=count_transitions(results),
        series=_series(run),
        samples=choose_samples(results, told.samples.values(), digest),
        prompts=prompt_table(results),
        alarms=summary.alarms,
        costs=Costs(
            seconds=round(sum(told.phases.values()), 1),
            phases=[PhaseTime(phase=phase, seconds=round(spent, 1)) for phase, spent in told.phases.items()],
            num_tokens=int(tokens) if tokens is not None else None,
            spent_usd=(money.spent_nano_usd if money else 0) * _NANO,
            saved_by_cache_usd=(money.saved_by_cache_nano_usd if money else 0) * _NANO,
            num_paid_calls=money.num_calls if money else 0,
        ),
        config=config.model_dump(mode="json"),
        config_digest=digest,
        data_digest=_text(read_json(run.path / "stages" / "data.json")),
        repeat=_repeat(config),
    )


def _tell(run: RunFolder) -> _Told:
    """Read the log twice: where the newest verdict is, then everything up to it."""
    verdict_seq = None
    for seq, _, body in _lines(run):
        if body.startswith('{"kind":"verdict_reached"'):
            verdict_seq = seq
    told = _Told()
    phase, phase_time, last_time = None, 0.0, 0.0
    for stored in _events(run, verdict_seq):
        event = stored.event
        if isinstance(event, PhaseStarted | RunFinished):
            # A process begins with loading; the time since the last event is then an interruption, not work.
            until = last_time if isinstance(event, PhaseStarted) and event.phase == "loading" else stored.time
            if phase is not None:
                told.phases[phase] = told.phases.get(phase, 0.0) + until - phase_time
            phase = event.phase if isinstance(event, PhaseStarted) else None
            phase_time = stored.time
        elif isinstance(event, SampleRecorded):
            told.samples[(event.author, event.step, event.prompt_id)] = event
        elif isinstance(event, RunResumed):
            told.samples = {key: s for key, s in told.samples.items() if s.step <= event.step}
        last_time = stored.time
        told.summary = fold([stored], told.summary)
    if phase is not None:
        told.phases[phase] = told.phases.get(phase, 0.0) + last_time - phase_time
    return told


def _lines(run: RunFolder) -> Iterator[tuple[int, float, str]]:
    if not run.events_path.exists():
        return
    reader = run.reader()
    try:
        after = 0
        while batch := reader.read_text(after):
            yield from batch
            after = batch[-1][0]
    finally:
        reader.close()


def _events(run: RunFolder, last_seq: int | None) -> Iterator[StoredEvent]:
    """Parsed events up to `last_seq`. Of a run of steps only the last is parsed: the numbers come from the metrics."""
    held: tuple[int, float, str] | None = None
    for line in _lines(run):
        seq, when, body = line
        if last_seq is not None and seq > last_seq:
            break
        if body.startswith('{"kind":"phase_progressed"'):
            continue
        if body.startswith('{"kind":"step_logged"'):
            held = line if '"stage":"distillation"' in body else held
            continue
        if held is not None:
            yield _parsed(held)
            held = None
        yield StoredEvent(seq=seq, time=when, event=RUN_EVENT.validate_json(body))
    if held is not None:
        yield _parsed(held)


def _parsed(line: tuple[int, float, str]) -> StoredEvent:
    return StoredEvent(seq=line[0], time=line[1], event=RUN_EVENT.validate_json(line[2]))


def _why_ended(summary: RunSummary) -> str:
    if summary.verdict is not None:
        return ""
    finished = summary.finished
    if finished is None:
        return "The run has not ended yet."
    if finished.error:
        return f"{finished.error.message} {finished.error.hint}".strip()
    return finished.reason


def _series(run: RunFolder) -> dict[str, list[SeriesPoint]]:
    if not run.events_path.exists():
        return {}
    reader = run.reader()
    try:
        found = reader.buckets(reader.metric_names(), max_points=_MAX_POINTS)
    finally:
        reader.close()
    return {
        name: [
            SeriesPoint(first_step=b.first_step, last_step=b.last_step, mean=b.mean, low=b.min, high=b.max)
            for b in buckets
        ]
        for name, buckets in found.items()
        # Speeds and times say nothing about the outcome and differ between two runs of the same seed.
        if not name.rpartition("/")[0].startswith("time") and "tokens_per_s" not in name
    }


def _repeat(config: RunConfig) -> list[str]:
    return ["opd train config.yaml", f"# the same seed ({config.seed}) on the same kind of machine gives the same run"]


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
