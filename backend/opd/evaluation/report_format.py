"""Names and numbers as a report shows them, whatever its format. In: a report's parts. Out: plain text, not escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from opd.evaluation.report_model import LiveSample, Report
from opd.evaluation.wording import percent, points
from opd.events import Interval

SUBJECT_NAMES = {"before": "Before", "sft": "Imitation", "after": "After", "teacher": "Teacher"}
CONCLUSION_NAMES = {
    "better": "Better",
    "no_significant_change": "No significant change",
    "worse": "Worse",
    "not_measured": "Not measured",
}
RECOMMENDATIONS = {
    "before": "Recommended: keep the student as it was before the run.",
    "sft": "Recommended: take the imitation baseline; export and serve do.",
    "checkpoint": "Recommended: take the checkpoint named below; export and serve do.",
    "after": "Recommended: take the trained student.",
}
METRIC_NAMES = {
    "exact_match": "Right answers",
    "judge_win_rate": "Preferred by the judge",
    "rubric_score": "Criteria met, by the judge",
    "reverse_kl": "Reverse KL, nats per token",
    "teacher_nll": "Teacher's NLL of the student's text, nats per token",
    "general_nll": "NLL of good answers outside the task, nats per token",
    "truncated": "Cut off at the length limit",
    "repeated": "Ends in a loop",
    "refused": "Reads like a refusal",
    "completion_tokens": "Answer length, tokens",
}
PHASE_NAMES = {
    "preflight": "Pre-flight checks",
    "loading": "Loading models and data",
    "evaluating_before": "Measuring before",
    "expanding": "Writing more prompts",
    "answering": "Collecting the teacher's answers",
    "warm_start": "Warm start",
    "baseline": "Imitation baseline",
    "distilling": "Distillation",
    "evaluating_after": "Measuring after",
    "finalizing": "Finalizing",
}
# Series drawn as charts, in this order: name, title, unit.
CHARTS = (
    ("loss", "Loss", "nats per token"),
    ("reverse_kl", "Reverse KL to the teacher", "nats per token"),
    ("entropy", "Entropy of the student", "nats per token"),
    ("completion_tokens/mean", "Length of completions", "tokens, mean of a step"),
    ("truncated_share", "Completions cut off", "share of a step"),
    ("learning_rate", "Learning rate", ""),
)
_SHARES = {"exact_match", "judge_win_rate", "rubric_score", "truncated", "repeated", "refused"}
_MAX_LIVE_STEPS = 5


def model_name(model: str) -> str:
    """An id as it is, a folder by its last two names: the whole path stands in the configuration."""
    parts = re.split(r"[/\\\\]", model)
    return "/".join(parts[-2:]) if len(parts) > 2 and (parts[0] == "" or parts[0].endswith(":")) else model


def value(metric: str, number: float) -> str:
    """One value of a metric: "78 %", "0.23"."""
    return percent(number) if metric in _SHARES else decimal(number)


def interval(metric: str, found: Interval) -> str:
    """The 95 % interval of a metric's mean: "74 to 81 %"."""
    if metric in _SHARES:
        return f"{percent(found.low).removesuffix(' %')} to {percent(found.high)}"
    return f"{decimal(found.low)} to {decimal(found.high)}"


def difference(metric: str, found: Interval) -> str:
    """A difference with its interval: "+45 points (+41 to +49)"."""
    if metric in _SHARES:
        return f"{points(found.mean)} points ({points(found.low)} to {points(found.high)})"
    mean, low, high = (f"{number:+.2f}".replace("-", "\u2212") for number in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high})"


def decimal(number: float) -> str:
    """Two decimals below ten, one below a thousand, none above; small numbers by significant digits."""
    size = abs(number)
    if size >= 1000:
        return f"{number:,.0f}"
    if size >= 10:
        return f"{number:.1f}"
    if size >= 0.01 or size == 0:
        return f"{number:.2f}"
    return f"{number:.1e}"


def duration(seconds: float) -> str:
    """ "42 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def dollars(amount: float) -> str:
    """US dollars, to the cent or to four digits below one."""
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.4f}"


def course(report: Report) -> str:
    """How far the run came, in one sentence."""
    resumed = ""
    if report.num_resumes:
        kind = "bit for bit" if report.exactness == "exact" else "not bit for bit"
        resumed = f", resumed {report.num_resumes} time{'s' if report.num_resumes > 1 else ''} ({kind})"
    return f"{report.steps_done:,} of {report.max_steps:,} steps{resumed}. {report.ended}".strip()


def live_by_prompt(live: Sequence[LiveSample]) -> list[tuple[LiveSample, list[LiveSample]]]:
    """For each probe prompt a sample that names it, and the samples to show: first, last and some between; teacher."""
    grouped: dict[str, list[LiveSample]] = {}
    for sample in live:
        grouped.setdefault(sample.prompt_id, []).append(sample)
    shown = []
    for samples in grouped.values():
        own = sorted((s for s in samples if s.author == "student"), key=lambda s: s.step)
        others = [s for s in samples if s.author != "student"]
        if len(own) > _MAX_LIVE_STEPS:
            places = {round(i * (len(own) - 1) / (_MAX_LIVE_STEPS - 1)) for i in range(_MAX_LIVE_STEPS)}
            own = [s for i, s in enumerate(own) if i in places]
        shown.append((samples[0], [*own, *others]))
    return shown
