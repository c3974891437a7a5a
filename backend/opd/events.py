"""The facts of a run: one union of past-tense events, and the fold that turns them into a summary.

An event is written once by the run, stored as JSON text, and sent unchanged to every page that asks for it.
`fold` is the only place that says what a list of events means; the page's reducer mirrors it.

After a resume the run repeats the steps since its checkpoint. `RunResumed.step` says from where: points of later
steps that were logged before are then superseded, so a reader that drops them sees every step exactly once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

Phase = Literal[
    "preflight",
    "loading",
    "evaluating_before",
    "expanding",
    "answering",
    "warm_start",
    "baseline",
    "distilling",
    "evaluating_after",
    "finalizing",
]
Outcome = Literal["done", "stopped", "failed", "paused"]
PAUSE_ALARMS = frozenset({"storage_failed", "budget_reached", "paused_for_review"})
"""Codes of the alarms that say why a run has paused."""


class Event(BaseModel):
    """Base of all facts: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class RunStarted(Event):
    """The run's process began its work (the first time)."""

    kind: Literal["run_started"] = "run_started"
    name: str
    student: str
    teacher: str
    signal: str
    """What the teacher's signal is, in words for people."""
    max_steps: int
    num_prompts: int
    num_test_prompts: int
    versions: dict[str, str] = {}
    device: str = "cpu"


class RunResumed(Event):
    """The run went on from a checkpoint; points of steps after `step` are superseded."""

    kind: Literal["run_resumed"] = "run_resumed"
    step: int
    """Steps of the distillation stage already done in the checkpoint; 0 when it began anew."""
    exactness: Literal["exact", "continued"]
    """exact: the same bits as without the interruption (same machine class). continued: anything else."""
    reason: str


class PhaseStarted(Event):
    """A phase began. `total` counts its units (steps, prompts); None where it is not known."""

    kind: Literal["phase_started"] = "phase_started"
    phase: Phase
    total: int | None = None
    unit: str = ""
    detail: str = ""


class PhaseProgressed(Event):
    """Units of the current phase done so far; sent at most a few times a second."""

    kind: Literal["phase_progressed"] = "phase_progressed"
    phase: Phase
    done: int
    total: int | None = None
    eta_s: float | None = None


class StepLogged(Event):
    """One optimizer step. `stage` tells whose; metric names are the same everywhere."""

    kind: Literal["step_logged"] = "step_logged"
    stage: Literal["distillation", "warm_start", "baseline"] = "distillation"
    step: int
    """1-based within its stage."""
    metrics: dict[str, float | None]
    """Names in docs/metrics.md; None is a value that could not be computed (shown as a gap)."""


class StageFinished(Event):
    """What a stage of the run did, in words for people; said once a run."""

    kind: Literal["stage_finished"] = "stage_finished"
    stage: str
    """Which one: expansion, answers, warm_start, marking, …"""
    words: str
    """Such as "Trained on 1,240 sentences that the teacher corrected in the student's own drafts"."""
    numbers: dict[str, float] = {}
    """The figures in the words, for machines."""


class TokenScore(Event):
    """One token of a recorded sample with both log-probabilities (nats)."""

    text: str
    student_logprob: float
    teacher_logprob: float


class SampleRecorded(Event):
    """One answer to a fixed held-out prompt."""

    kind: Literal["sample_recorded"] = "sample_recorded"
    step: int
    author: Literal["student", "teacher", "baseline"]
    prompt_id: str
    prompt: str
    text: str
    expected: str | None = None
    correct: bool | None = None
    tokens: list[TokenScore] = []


class CheckpointSaved(Event):
    """A checkpoint was written and verified."""

    kind: Literal["checkpoint_saved"] = "checkpoint_saved"
    step: int
    num_bytes: int
    duration_s: float


Remedy = Literal["pause", "roll_back", "lower_learning_rate"]


class AlarmRaised(Event):
    """Something a person should look at: what, why, and what to do."""

    kind: Literal["alarm_raised"] = "alarm_raised"
    code: str
    severity: Literal["info", "warning", "critical"]
    step: int
    what: str
    why: str
    advice: str
    remedies: tuple[Remedy, ...] = ()
    """What of the advice can be done with one click: stop and save, go back to the last checkpoint, learn slower."""


class MoneySpent(Event):
    """State of the run's spending, in integer nano-dollars."""

    kind: Literal["money_spent"] = "money_spent"
    spent_nano_usd: int
    held_nano_usd: int
    """For calls under way, and for those whose fate is unknown."""
    saved_by_cache_nano_usd: int
    num_calls: int
    """Calls that were paid."""
    possibly_paid_nano_usd: int = 0
    """The part of `held_nano_usd` whose fate is unknown; counted in full."""
    cap_nano_usd: int | None = None
    projected_nano_usd: int | None = None
    """What the run will likely have cost at its end: spent, possibly paid, and the rest of its call plan."""
    unit: Literal["usd", "tokens"] = "usd"
    """tokens: the teacher has no known price, and one nano-dollar stands for one token."""


class Interval(Event):
    """A mean with its 95 % interval; `num` is the number of prompts behind it."""

    mean: float
    low: float
    high: float
    num: int


class EvaluationFinished(Event):
    """Held-out measurements of one model."""

    kind: Literal["evaluation_finished"] = "evaluation_finished"
    subject: Literal["before", "sft", "after", "teacher"]
    metrics: dict[str, Interval]
    """exact_match (share), reverse_kl (nats/token), completion_tokens, truncated (share), …"""


class VerdictLine(Event):
    """One metric, compared pairwise on the same prompts."""

    metric: str
    better_is: Literal["higher", "lower"]
    baseline: Literal["before", "sft"]
    difference: Interval
    conclusion: Literal["better", "no_significant_change", "worse"]


class VerdictReached(Event):
    """The answer to "did it help?", with the evidence."""

    kind: Literal["verdict_reached"] = "verdict_reached"
    conclusion: Literal["better", "no_significant_change", "worse", "not_measured"]
    headline: str
    """One sentence for people."""
    lines: list[VerdictLine] = []
    notes: list[str] = []
    recommended: Literal["before", "sft", "checkpoint", "after"] = "after"
    """What to take. sft or checkpoint: the folder `recommended` holds it, and export and serve take it from there."""
    recommended_step: int | None = None
    """Of an earlier checkpoint."""


class Fix(Event):
    """A change to a run's configuration with which it may go on."""

    words: str
    change: dict[str, JsonValue]
    """Merged into the configuration, such as `{"micro_batch_size": 2}`."""
    saves_bytes: int = 0
    same_result: bool = False
    """Whether only the order of sums changes."""


class RunFailure(Event):
    """Why a run could not go on, as shown to people."""

    code: str
    message: str
    hint: str = ""
    fixes: tuple[Fix, ...] = ()
    """In the order to try. A run that goes on with one is "continued"."""


class RunFinished(Event):
    """The run's process ended its work."""

    kind: Literal["run_finished"] = "run_finished"
    outcome: Outcome
    step: int
    reason: str = ""
    error: RunFailure | None = None


RunEvent = Annotated[
    RunStarted
    | RunResumed
    | PhaseStarted
    | PhaseProgressed
    | StepLogged
    | StageFinished
    | SampleRecorded
    | CheckpointSaved
    | AlarmRaised
    | MoneySpent
    | EvaluationFinished
    | VerdictReached
    | RunFinished,
    Field(discriminator="kind"),
]
RUN_EVENT: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)


class StoredEvent(Event):
    """An event with its place in the log: `seq` is 1, 2, 3, … without gaps; `time` is Unix seconds."""

    seq: int
    time: float
    event: RunEvent


class RunSummary(BaseModel):
    """What a run amounts to so far: the answer of `GET /api/opd/status` less the process state."""

    model_config = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)

    seq: int = 0
    started: RunStarted | None = None
    started_time: float | None = None
    updated_time: float | None = None
    phase: Phase | None = None
    phase_done: int = 0
    phase_total: int | None = None
    phase_started_time: float | None = None
    eta_s: float | None = None
    step: int = 0
    max_steps: int = 0
    latest: dict[str, float | None] = {}
    stages: list[StageFinished] = []
    checkpoint_step: int | None = None
    exactness: Literal["exact", "continued"] | None = None
    num_resumes: int = 0
    alarms: list[AlarmRaised] = []
    evaluations: dict[str, EvaluationFinished] = {}
    verdict: VerdictReached | None = None
    money: MoneySpent | None = None
    finished: RunFinished | None = None


def fold(events: Iterable[StoredEvent], summary: RunSummary | None = None) -> RunSummary:
    """Fold events, in order, into a summary; give the last summary to go on from it."""
    state = summary.model_copy() if summary else RunSummary()
    for stored in events:
        _apply(state, stored)
    return state


def _apply(state: RunSummary, stored: StoredEvent) -> None:
    event, state.seq, state.updated_time = stored.event, stored.seq, stored.time
    match event:
        case RunStarted():
            state.started, state.started_time, state.max_steps = event, stored.time, event.max_steps
        case RunResumed():
            state.step, state.exactness, state.finished = event.step, _weakest(state.exactness, event.exactness), None
            state.num_resumes += 1
            # Alarms of later steps come again; what a pause was about is over.
            state.alarms = [a for a in state.alarms if a.step <= event.step and a.code not in PAUSE_ALARMS]
        case PhaseStarted():
            state.phase, state.phase_done, state.phase_total = event.phase, 0, event.total
            state.phase_started_time, state.eta_s = stored.time, None
        case PhaseProgressed():
            state.phase_done, state.eta_s = event.done, event.eta_s
            state.phase_total = event.total if event.total is not None else state.phase_total
        case StepLogged():
            if event.stage == "distillation":
                state.step, state.latest = event.step, event.metrics
        case StageFinished():
            state.stages = [*state.stages, event]
        case CheckpointSaved():
            state.checkpoint_step = event.step
        case AlarmRaised():
            state.alarms = [*state.alarms, event][-50:]
        case MoneySpent():
            state.money = event
        case EvaluationFinished():
            state.evaluations = {**state.evaluations, event.subject: event}
        case VerdictReached():
            state.verdict = event
        case RunFinished():
            state.finished, state.eta_s = event, None
        case SampleRecorded():
            pass


def _weakest(
    before: Literal["exact", "continued"] | None, now: Literal["exact", "continued"]
) -> Literal["exact", "continued"]:
    return "continued" if "continued" in (before, now) else "exact"
