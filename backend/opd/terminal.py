"""A run in the terminal: one line for each event that a person wants to read there."""

from __future__ import annotations

from opd.events import (
    AlarmRaised,
    CheckpointSaved,
    EvaluationFinished,
    PhaseStarted,
    RunEvent,
    RunFinished,
    RunResumed,
    RunStarted,
    StageFinished,
    StepLogged,
)

_PHASES = {
    "preflight": "Checking",
    "loading": "Loading the models",
    "evaluating_before": "Measuring the student before training",
    "expanding": "The teacher writes new prompts",
    "answering": "The teacher answers the training prompts",
    "warm_start": "Warm start on the teacher's answers",
    "baseline": "Training the imitation baseline",
    "distilling": "Distilling: the student learns",
    "evaluating_after": "Measuring",
    "finalizing": "Writing the verdict",
}
_SUBJECTS = {"before": "student before", "sft": "imitation baseline", "after": "student after", "teacher": "teacher"}
_EVERY_STEPS = 20


_SHOWN = (("reverse KL", "reverse_kl", ".3f"), ("loss", "loss", ".3f"), ("tokens/s", "tokens_per_s", ",.0f"))


def describe(event: RunEvent) -> str:
    """A line of text for the terminal; empty for what is left to the page."""
    match event:
        case RunStarted():
            prompts = f"{event.num_prompts} prompts, {event.num_test_prompts} held out"
            return f"{event.name}: {prompts}, {event.max_steps} steps"
        case RunResumed():
            return f"Resumed ({event.exactness}). {event.reason}"
        case PhaseStarted():
            size = f" ({event.total:,} {event.unit})" if event.total else ""
            return f"• {_PHASES[event.phase]}{size}"
        case StepLogged(stage="distillation") if event.step == 1 or event.step % _EVERY_STEPS == 0:
            return f"  step {event.step:>5}  {_figures(event)}"
        case StageFinished():
            return f"  {event.words}"
        case CheckpointSaved():
            return f"  checkpoint of step {event.step} saved"
        case EvaluationFinished():
            parts_ = []
            if match := event.metrics.get("exact_match"):
                parts_.append(f"{match.mean:.1%} right (95 % interval {match.low:.1%} to {match.high:.1%})")
            if divergence := event.metrics.get("reverse_kl"):
                parts_.append(f"reverse KL {divergence.mean:.3f} nats/token")
            return f"  {_SUBJECTS[event.subject]}: {', '.join(parts_)}" if parts_ else ""
        case AlarmRaised():
            return f"  ! {event.what} {event.advice}"
        case RunFinished() if event.error is not None:
            return f"Failed: {event.error.message} {event.error.hint}"
        case RunFinished():
            return event.reason
        case _:
            return ""


def _figures(event: StepLogged) -> str:
    known = [(label, event.metrics.get(key), form) for label, key, form in _SHOWN]
    return "  ".join(f"{label} {value:{form}}" for label, value, form in known if value is not None)
