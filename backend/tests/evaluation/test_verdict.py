"""The verdict: says what the evidence carries, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pytest

from opd.evaluation.judge import AnswerPair, Judgement, PairScore, RubricScore, judge_pairs
from opd.evaluation.results import Evaluation, GradedAnswer, ScoredSample
from opd.evaluation.summary import summarize
from opd.evaluation.verdict import reach_verdict
from opd.events import AlarmRaised, VerdictReached

Subject = Literal["before", "sft", "after", "teacher"]
Rng = np.random.Generator


def evaluation(
    subject: Subject,
    right: list[bool] | None,
    *,
    num: int | None = None,
    kl: float | None = None,
    tokens: int = 24,
    **shares: float,
) -> Evaluation:
    """Answers that are right as listed (None: not graded); `shares` of them are truncated, repeated, refused."""
    count = len(right) if right is not None else num or 0
    answers = tuple(
        GradedAnswer(
            prompt_id=f"p{i}",
            question="q",
            expected=None if right is None else "1",
            text=f"text {i}",
            correct=None if right is None else right[i],
            num_tokens=tokens + i % 3,
            truncated=i < shares.get("truncated", 0) * count,
            repeated=i < shares.get("repeated", 0) * count,
            refused=i < shares.get("refused", 0) * count,
        )
        for i in range(count)
    )
    samples = (
        tuple(ScoredSample(f"p{i}", 20, 20 * kl * (0.8 + 0.1 * (i % 5)), 25 * kl, 4.0) for i in range(count))
        if kl
        else ()
    )
    return Evaluation(subject, answers, samples)


def first(share: float, num: int = 500, offset: int = 0) -> list[bool]:
    """The given share of `num` prompts right, evenly spread, shifted by `offset`."""
    return [((i + offset) * 37) % num < share * num for i in range(num)]


def verdict(kl: Mapping[str, float] | None = None, **right: list[bool]) -> VerdictReached:
    subjects: tuple[Subject, ...] = ("before", "sft", "after", "teacher")
    return reach_verdict({s: evaluation(s, right[s], kl=(kl or {}).get(s)) for s in subjects if s in right})


def test_the_demos_story_in_one_sentence() -> None:
    found = verdict(before=first(0.33), sft=first(0.61), after=first(0.784), teacher=first(0.97))
    assert found.conclusion == "better"
    assert found.recommended == "after"
    assert found.headline.startswith(
        "Better: 78 % of 500 held-out questions right, up from 33 % (+45 points, 95 % interval +4"
    )
    assert found.headline.endswith("); tuned imitation reached 61 %.")
    assert any("beat tuned imitation" in note for note in found.notes)
    assert "The teacher gets 97 %; the student closed 71 % of the distance." in found.notes
    by_baseline = {line.baseline: line for line in found.lines if line.metric == "exact_match"}
    assert by_baseline["before"].difference.mean == pytest.approx(0.454)
    assert by_baseline["sft"].conclusion == "better"


def test_a_sabotaged_student_is_worse_and_not_recommended() -> None:
    found = verdict(before=first(0.5, 100), after=first(0.2, 100))
    assert (found.conclusion, found.recommended) == ("worse", "before")
    assert found.headline.startswith("Worse: 20 % of 100 held-out questions right, down from 50 % (\u221230 points")


def test_no_change_says_what_would_show_more() -> None:
    rng = np.random.default_rng(1)
    before, after = list(rng.random(60) < 0.4), list(rng.random(60) < 0.45)
    found = verdict(before=before, after=after)
    assert (found.conclusion, found.recommended) == ("no_significant_change", "before")
    assert any("held-out prompts reliably show differences from" in note for note in found.notes)


def test_identical_answers_are_no_change() -> None:
    found = verdict(before=first(0.4, 50), after=first(0.4, 50))
    assert found.conclusion == "no_significant_change"
    assert (
        "40 % of 50 held-out questions right, as 40 % before (0 points, 95 % interval \u22126 to +6)" in found.headline
    )


@pytest.mark.parametrize(("changed", "conclusion"), [(6, "no_significant_change"), (9, "better")])
def test_a_handful_of_changed_prompts_is_not_enough(changed: int, conclusion: str) -> None:
    before = [i < 100 for i in range(300)]
    after = [i < 100 + changed for i in range(300)]
    found = verdict(before=before, after=after)
    assert found.conclusion == conclusion
    assert any("below 1 %" in note for note in found.notes) == (conclusion != "better")


def test_a_certain_but_tiny_difference_is_no_change() -> None:
    before = [i < 2000 for i in range(5000)]
    after = [i < 2030 for i in range(5000)]
    assert verdict(before=before, after=after).conclusion == "no_significant_change"


def sampled(rng: Rng, ease: np.ndarray, num_answers: int = 1) -> list[bool]:
    return [bool(b) for b in rng.random(len(ease)) < ease]


def test_a_student_compared_with_itself_hardly_ever_changes() -> None:
    """The rule's false positives: sampled answers of one student, 100 times; 1 % is promised."""
    wrong = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        ease = rng.beta(1.0, 2.0, 120)
        found = verdict(before=sampled(rng, ease), after=sampled(rng, ease))
        wrong += found.conclusion != "no_significant_change"
    assert wrong <= 3


def test_a_real_gain_of_twenty_points_is_found() -> None:
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ease = rng.beta(1.0, 2.0, 150)
        found += (
            verdict(before=sampled(rng, ease), after=sampled(rng, np.clip(ease + 0.25, 0, 1))).conclusion == "better"
        )
    assert found >= 34


# --- divergence never decides -------------------------------------------------------------------------


def test_falling_kl_alone_is_not_measured() -> None:
    found = reach_verdict(
        {"before": evaluation("before", None, num=80, kl=1.61), "after": evaluation("after", None, num=80, kl=0.35)}
    )
    assert found.conclusion == "not_measured"
    assert "fell from 1.61 to 0.35" in found.headline
    assert "does not show better answers" in found.headline
    assert any("checkable answers" in note for note in found.notes)
    assert {line.metric: line.conclusion for line in found.lines}["reverse_kl"] == "better"


def test_falling_kl_does_not_save_answers_that_are_not_better() -> None:
    found = verdict(kl={"before": 1.61, "after": 0.35}, before=first(0.4, 200), after=first(0.4, 200))
    assert found.conclusion == "no_significant_change"
    assert any("Falling KL alone is no success" in note for note in found.notes)


def test_nothing_measured_is_said_plainly() -> None:
    assert reach_verdict({}).conclusion == "not_measured"
    only_before = reach_verdict({"before": evaluation("before", first(0.4, 20))})
    assert "after" in only_before.headline
    nothing_held_out = reach_verdict({"before": Evaluation("before"), "after": Evaluation("after")})
    assert nothing_held_out.conclusion == "not_measured"
    assert nothing_held_out.lines == []


# --- health gates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["truncated", "repeated", "refused"])
def test_a_sick_student_is_not_called_better(harm: str) -> None:
    before, after = evaluation("before", first(0.3, 200)), evaluation("after", first(0.7, 200), **{harm: 0.3})
    found = reach_verdict({"before": before, "after": after})
    assert (found.conclusion, found.recommended) == ("no_significant_change", "before")
    assert found.headline.startswith("Not called better: 70 %")
    assert "but 30 % of the answers" in found.headline
    unchanged = reach_verdict({"before": before, "after": evaluation("after", first(0.3, 200), **{harm: 0.3})})
    assert unchanged.conclusion == "worse"
    assert unchanged.headline.startswith("Worse: 30 % of the answers")


def test_a_few_truncated_answers_do_not_take_a_gain_away() -> None:
    found = reach_verdict(
        {"before": evaluation("before", first(0.3, 200)), "after": evaluation("after", first(0.7, 200), truncated=0.05)}
    )
    assert found.conclusion == "better"
    assert any(line.metric == "truncated" for line in found.lines)


# --- the judge ----------------------------------------------------------------------------------------


def judged(winner: str, num: int = 60) -> list[PairScore]:
    pairs = [AnswerPair(f"p{i}", "q", f"new {i}", f"old {i}") for i in range(num)]

    def ask(prompt: str) -> str:
        if winner in ("1", "2"):
            return f"VERDICT: {winner}"
        place = prompt.index("new ") < prompt.index("old ")
        return f"VERDICT: {1 if place == (winner == 'new') else 2}"

    return judge_pairs(lambda prompts: [ask(prompt) for prompt in prompts], pairs)


@pytest.mark.parametrize(
    ("winner", "conclusion"),
    [("1", "no_significant_change"), ("2", "no_significant_change"), ("new", "better"), ("old", "worse")],
)
def test_a_judge_decides_where_nothing_else_can(winner: str, conclusion: str) -> None:
    found = reach_verdict(
        {"before": evaluation("before", None, num=60), "after": evaluation("after", None, num=60)},
        judged=Judgement("judge/x", {"before": judged(winner)}),
    )
    assert found.conclusion == conclusion
    assert found.lines[0].metric == "judge_win_rate"
    assert "the judge preferred" in found.headline


def test_graded_answers_decide_before_a_judge() -> None:
    found = reach_verdict(
        {"before": evaluation("before", first(0.3, 60)), "after": evaluation("after", first(0.8, 60))},
        judged=Judgement("judge/x", {"before": judged("old")}),
    )
    assert found.conclusion == "better"
    assert [line.conclusion for line in found.lines[:2]] == ["better", "worse"]
    assert any("does not prefer" in note and "read the samples" in note for note in found.notes)


@pytest.mark.parametrize(("winner", "first"), [("1", "100 %"), ("new", "50 %")])
def test_how_the_judge_judged_stands_beside_the_verdict(winner: str, first: str) -> None:
    found = reach_verdict(
        {"before": evaluation("before", None, num=60), "after": evaluation("after", None, num=60)},
        judged=Judgement("judge/x", {"before": judged(winner)}),
    )
    note = next(note for note in found.notes if note.startswith("judge/x compared 60 pairs"))
    assert f"the first answer in {first}" in note
    assert ("leans to a position" in note) == (winner == "1")


def test_criteria_give_a_line_of_their_own_and_never_decide() -> None:
    rubric = {
        "before": [RubricScore(f"p{i}", 0.25) for i in range(60)],
        "after": [RubricScore(f"p{i}", 1.0 if i % 4 else None) for i in range(60)],
    }
    found = reach_verdict(
        {"before": evaluation("before", None, num=60), "after": evaluation("after", None, num=60)},
        judged=Judgement("judge/x", {"before": judged("old")}, rubric),
    )
    assert found.conclusion == "worse"
    line = next(line for line in found.lines if line.metric == "rubric_score")
    assert (line.conclusion, line.difference.mean, line.difference.num) == ("better", 0.75, 45)
    assert any("rubric scores got better" in note for note in found.notes)


@pytest.mark.parametrize(
    ("teacher_tokens", "conclusion"), [(None, "no_significant_change"), (30, "no_significant_change"), (90, "better")]
)
def test_a_judge_is_not_believed_when_answers_only_got_longer(teacher_tokens: int | None, conclusion: str) -> None:
    evaluations: dict[Subject, Evaluation] = {
        "before": evaluation("before", None, num=60),
        "after": evaluation("after", None, num=60, tokens=80),
    }
    if teacher_tokens:
        evaluations["teacher"] = evaluation("teacher", None, num=60, tokens=teacher_tokens)
    assert reach_verdict(evaluations, judged=Judgement("judge/x", {"before": judged("new")})).conclusion == conclusion


# --- which artefact, which regime -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "sft", "after", "recommended", "says"),
    [
        (0.3, 0.5, 0.8, "after", "beat tuned imitation"),
        (0.3, 0.8, 0.5, "sft", "it is cheaper: take its checkpoint"),
        (0.3, 0.7, 0.7, "sft", "for this data it is enough"),
        (0.3, 0.7, 0.71, "after", "is not established"),
        (0.5, 0.3, 0.5, "before", "did worse still"),
        (0.5, 0.45, 0.2, "before", "did not beat the student as it was either"),
        (0.3, 0.7, 0.3, "sft", "take its checkpoint"),
    ],
)
def test_the_recommended_artefact_is_the_best_proven_the_cheaper_of_equals(
    before: float, sft: float, after: float, recommended: str, says: str
) -> None:
    found = verdict(before=first(before), sft=first(sft), after=first(after))
    assert found.recommended == recommended
    assert any(says in note for note in found.notes), found.notes


@pytest.mark.parametrize(
    ("after", "at_150", "harm", "recommended"),
    [
        (0.2, 0.7, 0.0, ("checkpoint", 150)),  # went too far
        (0.6, 0.7, 0.0, ("checkpoint", 150)),
        (0.6, 0.61, 0.0, ("after", None)),  # as good: the finished one
        (0.6, 0.7, 0.3, ("after", None)),  # better, and a third of its answers end in a loop
        (0.2, 0.31, 0.0, ("before", None)),  # better than the finished one, not than what was there
    ],
)
def test_an_earlier_checkpoint_is_recommended_where_it_is_proven_better(
    after: float, at_150: float, harm: float, recommended: tuple[str, int | None]
) -> None:
    found = reach_verdict(
        {"before": evaluation("before", first(0.3, 200)), "after": evaluation("after", first(after, 200))},
        checkpoints={
            100: evaluation("after", first(0.25, 200)),
            150: evaluation("after", first(at_150, 200), repeated=harm),
        },
    )
    assert (found.recommended, found.recommended_step) == recommended
    assert any("The checkpoint of step 150 is the best" in note for note in found.notes) == (
        found.recommended_step == 150
    )


def test_the_more_checkpoints_are_tried_the_more_is_asked_of_one() -> None:
    before, after = [False] * 60, [False] * 60
    tried = evaluation("after", [i < 9 for i in range(60)])  # 9 prompts all one way: p = 0.004
    subjects: dict[Subject, Evaluation] = {"before": evaluation("before", before), "after": evaluation("after", after)}
    assert reach_verdict(subjects, checkpoints={1: tried}).recommended_step == 1
    assert reach_verdict(subjects, checkpoints=dict.fromkeys(range(1, 5), tried)).recommended_step is None


def test_a_teacher_with_nothing_to_teach_is_named() -> None:
    found = verdict(before=first(0.5, 100), after=first(0.5, 100), teacher=first(0.5, 100))
    assert any("little or nothing to teach" in note for note in found.notes)


def test_critical_alarms_stand_beside_the_verdict() -> None:
    alarms = [
        AlarmRaised(code="c", severity=severity, step=7, what=f"{severity}!", why="w", advice="Do this.")
        for severity in ("info", "critical")
    ]
    found = reach_verdict(
        {"before": evaluation("before", first(0.3)), "after": evaluation("after", first(0.6))}, alarms=alarms
    )
    assert "Alarm at step 7: critical! Do this." in found.notes
    assert not any("info!" in note for note in found.notes)


def test_a_verdict_is_the_same_again_and_survives_its_json() -> None:
    found = verdict(kl={"before": 1.4, "after": 0.2}, before=first(0.3), sft=first(0.6), after=first(0.7))
    assert found == verdict(kl={"before": 1.4, "after": 0.2}, before=first(0.3), sft=first(0.6), after=first(0.7))
    assert VerdictReached.model_validate_json(found.model_dump_json()) == found


def test_a_summary_holds_what_was_measured_and_nothing_else() -> None:
    graded = summarize("before", evaluation("before", first(0.3, 40), kl=1.4, truncated=0.1))
    assert graded.metrics["exact_match"].mean == pytest.approx(0.3)
    assert graded.metrics["truncated"].mean == pytest.approx(0.1)
    assert graded.metrics["reverse_kl"].mean == pytest.approx(1.4)
    assert graded.metrics["completion_tokens"].num == 40
    assert "exact_match" not in summarize("before", evaluation("before", None, num=40)).metrics
    assert summarize("teacher", Evaluation("teacher")).metrics == {}
