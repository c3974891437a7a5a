"""The verdict's sentences. In: numbers. Out: English for people. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from opd.evaluation.judge import JudgeRecord
from opd.events import AlarmRaised, Interval

_OPENING = {"better": "Better", "no_significant_change": "No significant change", "worse": "Worse"}
_LEANS = 0.2  # from one half; of single decisions that name the first answer
_HARMS = {
    "truncated": "of the answers are now cut off at the length limit",
    "repeated": "of the answers now end in a loop",
    "refused": "of the answers now read like a refusal",
}


def percent(share: float) -> str:
    """0.784 as "78 %"; with a decimal where rounding would say all or nothing."""
    value = 100 * share
    return f"{value:.1f} %" if 0 < value < 1 or 99 < value < 100 else f"{value:.0f} %"


def points(difference: float) -> str:
    """0.45 as "+45", -0.004 as "−0.4": percentage points with their sign."""
    value = 100 * difference
    digits = 1 if 0 < abs(value) < 1 else 0
    text = f"{value:+.{digits}f}"
    return text.replace("-", "\u2212") if float(text) else "0"


def gap_in_points(gap: Interval) -> str:
    """ "+45 points, 95 % interval +41 to +49"."""
    return f"{points(gap.mean)} points, 95 % interval {points(gap.low)} to {points(gap.high)}"


def roughly(num: int) -> str:
    """A count to two digits: 1,899 as "1,900"."""
    magnitude = 10 ** max(0, len(str(num)) - 2)
    return f"{round(num / magnitude) * magnitude:,}"


def share_headline(after: float, before: float, gap: Interval, baseline: str, sft: float | None) -> str:
    """What was measured on graded answers, without the conclusion's word."""
    course = "up from" if gap.mean > 0 else "down from" if gap.mean < 0 else "as"
    beside = f"; {baseline} reached {percent(sft)}" if sft is not None else ""
    before_text = f"{course} {percent(before)}" + (" before" if course == "as" else "")
    return f"{percent(after)} of {gap.num} held-out questions right, {before_text} ({gap_in_points(gap)}){beside}"


def judge_headline(win_rate: float, gap: Interval) -> str:
    """What a pairwise judge said, without the conclusion's word."""
    low, high = percent(0.5 + gap.low), percent(0.5 + gap.high)
    return (
        f"the judge preferred the trained student's answer on {percent(win_rate)} of {gap.num} held-out prompts, ties "
        f"counted half (95 % interval {low} to {high}; 50 % is no difference)"
    )


def headline(conclusion: str, measured: str, sentence: str, gates: Sequence[str]) -> str:
    """The conclusion's word and the sentence; says so when a gate lowered it."""
    if conclusion == measured or not gates:
        return f"{_OPENING[conclusion]}: {sentence}."
    if measured == "better":
        return f"Not called better: {sentence}, but {gates[0][0].lower()}{gates[0][1:].rstrip('.')}."
    return f"{_OPENING[conclusion]}: {gates[0].rstrip('.')}; {sentence}."


def not_measured(kl: tuple[float, float] | None) -> str:
    """Nothing that could decide was measured; `kl` is (before, after)."""
    ground = "the held-out prompts have no checkable answer and no judge compared the answers"
    if kl is None:
        return f"Not measured: {ground}."
    verb = "fell" if kl[1] < kl[0] else "rose"
    course = f"reverse KL {verb} from {kl[0]:.2f} to {kl[1]:.2f} nats per token"
    return f"Not measured: {ground}; {course}, which alone does not show better answers."


def falling_kl(before: float, after: float, *, is_decided: bool) -> str:
    """Nearer to the teacher is not better."""
    fact = f"Reverse KL fell from {before:.2f} to {after:.2f} nats per token: the student writes more like the teacher"
    if is_decided:
        return f"{fact}, yet its answers are not better for it. Falling KL alone is no success."
    return f"{fact}. To learn whether its answers are better, add checkable answers to the prompts or ask a judge."


def gate(metric: str, after: float, before: float) -> str:
    """A health gate that closed."""
    return f"{percent(after)} {_HARMS[metric]} ({percent(before)} before)."


def general_gate(after: float, before: float) -> str:
    """Answers outside the task got lost."""
    share = percent(1 - exp(before - after))
    return (
        f"Each token of good answers to questions outside the task has become {share} less likely "
        f"({before:.2f} to {after:.2f} nats per token)."
    )


def nothing_to_lose(nats_per_byte: float) -> str:
    """Why answers outside the task were not compared."""
    return (
        "What else the student could do was not compared: before training it already found good answers to general "
        f"questions about as unlikely as random letters ({nats_per_byte:.1f} nats per byte)."
    )


def checkpoint(step: int, level: float, rival: float, gap: Interval) -> str:
    """An earlier checkpoint is the best of the run."""
    return (
        f"The checkpoint of step {step:,} is the best of this run: {percent(level)} of {gap.num} held-out questions "
        f"right against {percent(rival)} ({gap_in_points(gap)}). It was chosen on these very questions, which flatters "
        "it a little."
    )


def length_gate(after: float, before: float) -> str:
    """Answers grew, and a judge decided."""
    return f"Answers grew from {before:.0f} to {after:.0f} tokens, and judges favour length for its own sake."


def regime(conclusion: str, baseline: str, gap: Interval, *, after_helps: bool, sft_helps: bool) -> str:
    """On-policy training against imitation: which regime this is. `gap` is after less imitation."""
    name = f"{baseline[0].upper()}{baseline[1:]}"
    by = gap_in_points(gap)
    if conclusion == "better" and after_helps:
        return (
            f"On-policy training beat {baseline} ({by}). That is where it pays: few prompts, and mistakes that "
            "only the student's own text shows."
        )
    if conclusion == "better":
        return f"{name} did worse still (on-policy training {by})."
    if not sft_helps:
        return f"{name} did not beat the student as it was either (on-policy training against it: {by})."
    if conclusion == "worse":
        return (
            f"{name} did better than on-policy training here (on-policy training {by}), and it is cheaper: take its "
            "checkpoint. With many fresh prompts this is common."
        )
    return f"{name} did as well as on-policy training here ({by}), and it is cheaper: for this data it is enough."


def lead_not_established(baseline: str, gap: Interval, needed: int | None) -> str:
    """After is ahead of the baseline by less than the evidence can carry."""
    more = f" About {roughly(needed)} held-out prompts would show a lead of this size." if needed else ""
    return f"The lead over {baseline} is not established ({gap_in_points(gap)}).{more}"


def teacher_level(teacher: float, after: float, before: float) -> str:
    """The ceiling and how much of the way was gone."""
    if teacher - before < 0.02:
        return f"The teacher itself gets {percent(teacher)}: it has little or nothing to teach on these prompts."
    if after <= before:
        return f"The teacher gets {percent(teacher)}."
    closed = (after - before) / (teacher - before)
    return f"The teacher gets {percent(teacher)}; the student closed {percent(closed)} of the distance."


def too_few_prompts(gap: Interval, detectable: float, needed: int | None) -> str:
    """What these prompts can show and how many would show the observed difference."""
    shown = f"{gap.num:,} held-out prompts reliably show differences from {100 * detectable:.0f} points on"
    if needed is None or needed > 1_000_000:
        return f"{shown}."
    return f"{shown}; to show one of {points(gap.mean)} points takes about {roughly(needed)}."


def judge_record(judge: str, against: str, record: JudgeRecord) -> str:
    """How a judge judged, and what tells whether to trust it."""
    other = "the student before" if against == "before" else "imitation"
    text = (
        f"{judge or 'The judge'} compared {record.num_pairs:,} pairs of answers with those of {other}, blind and in "
        f"both orders: {percent(record.won)} won, {percent(record.tied)} tied, {percent(record.lost)} lost."
    )
    if record.first_share is not None:
        text += f" It named the first answer in {percent(record.first_share)} of its decisions."
        if abs(record.first_share - 0.5) > _LEANS:
            text += " It leans to a position: a pair is won only in both orders, so that makes ties and no winner."
    if record.num_unreadable:
        text += f" {record.num_unreadable:,} of its replies could not be read and count for nothing."
    return text


def judge_disagrees(prefers_after: bool, other: str) -> str:
    """Two measures of the same answers contradict each other."""
    graded = "the graded answers got" if other == "exact_match" else "the rubric scores got"
    liked, course = ("prefers", "worse") if prefers_after else ("does not prefer", "better")
    return (
        f"The judge {liked} the trained student's answers, while {graded} {course}: read the samples before you rely "
        "on either."
    )


def suggestive(p_value: float) -> str:
    """The interval excludes zero, the stricter rule is not met."""
    return (
        f"The interval excludes no change, but chance alone would do this in {percent(p_value)} of runs or the "
        "difference is too small to matter; a change is called below 1 %."
    )


def alarm(raised: AlarmRaised) -> str:
    """A critical alarm, repeated beside the verdict."""
    return f"Alarm at step {raised.step}: {raised.what} {raised.advice}"
