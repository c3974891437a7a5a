"""Measuring real tiny models: what is asked, what is kept, what a kill costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opd.config import DataConfig
from opd.data_loader.records import PromptRecord
from opd.errors import ConfigError
from opd.evaluation.measure import Settings, Subject, evaluate_model, weights_digest
from opd.evaluation.results import Evaluation, read_evaluation
from opd.evaluation.scoring import LocalScorer
from opd.evaluation.summary import per_prompt, summarize
from opd.evaluation.verdict import reach_verdict
from opd.training.decoding import Completion, generate
from opd.training.models import decode_text
from tiny import make_model, make_tokenizer

TOKENIZER = make_tokenizer()
# Right is what begins with a small letter: a random model does that now and then.
DATA = DataConfig(path="p.jsonl", answer_match="regex", answer_pattern=r"^()[a-z]")
PROMPTS = [PromptRecord(f"p{i:02}", ({"role": "user", "content": f"letter {i % 7}?"},), "", i + 1) for i in range(20)]
SETTINGS = Settings(max_completion_tokens=8, chunk_size=8)


def ids_of(prompts: Sequence[PromptRecord]) -> list[list[int]]:
    # Every prompt gets its own ids, so that answers differ.
    return [[3, 4 + i % 60, 9 + (7 * i) % 50, 5] for i in range(len(prompts))]


def subject(seed: int = 1, name: str = "before") -> Subject:
    model = make_model(seed=seed)
    return Subject(name, model, weights_digest(model), (2,), 0)


def scorer() -> LocalScorer:
    teacher = make_model(seed=9)
    return LocalScorer(teacher, weights_digest(teacher))


def measure(who: Subject, prompts: Sequence[PromptRecord] = PROMPTS, **options: Any) -> Evaluation:
    settings = options.pop("settings", SETTINGS)
    return evaluate_model(
        who, prompts, ids_of(prompts), data=DATA, settings=settings, decode=decode_text(TOKENIZER), **options
    )


def test_every_prompt_is_answered_graded_and_scored() -> None:
    found = measure(subject(), scorer=scorer())
    assert [a.prompt_id for a in found.answers] == [p.id for p in PROMPTS]
    assert [s.prompt_id for s in found.samples] == [p.id for p in PROMPTS]
    assert {a.correct for a in found.answers} <= {True, False}
    for answer in found.answers:
        assert answer.question.startswith("letter")
        assert 1 <= answer.num_tokens <= 8
        assert answer.num_tokens == 8 or not answer.truncated
    for sample in found.samples:
        assert sample.sum_reverse_kl > 0
        assert sample.sum_teacher_nll > 0
    metrics = summarize("before", found).metrics
    assert set(metrics) == {
        "exact_match", "reverse_kl", "teacher_nll", "truncated", "repeated", "refused", "completion_tokens",
    }  # fmt: skip
    tokens = sum(s.num_tokens for s in found.samples)
    assert metrics["reverse_kl"].mean == pytest.approx(sum(s.sum_reverse_kl for s in found.samples) / tokens)


def test_greedy_answers_are_the_models_likeliest() -> None:
    who = subject()
    found = measure(who)
    expected = generate(
        who.model, ids_of(PROMPTS), seeds=[0] * 20, max_new_tokens=8, eos_ids=[2], pad_id=0, temperature=0
    )
    assert [a.text for a in found.answers] == [decode_text(TOKENIZER)(c.ids) for c in expected]
    assert found.samples == ()


def test_settings_say_how_much_is_asked() -> None:
    found = measure(
        subject(), scorer=scorer(), settings=replace(SETTINGS, temperature=1.0, num_answers=3, num_scored_prompts=10)
    )
    assert len(found.answers) == 60
    assert len(per_prompt(found, "exact_match")) == 20
    assert len(found.samples) == 10
    assert len({a.text for a in found.answers if a.prompt_id == "p00"}) > 1


class KilledError(Exception):
    """The process ends here."""


def test_a_killed_evaluation_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    whole = measure(subject(), scorer=scorer())
    asked: list[int] = []

    def counting(*arguments: Any, **options: Any) -> list[Completion]:
        asked.append(len(arguments[1]))
        return generate(*arguments, **options)

    def stop_after_the_second_chunk(done: int, total: int) -> None:
        if done >= 16:
            raise KilledError

    with pytest.raises(KilledError):
        measure(subject(), scorer=scorer(), run_path=tmp_path, complete=counting, progress=stop_after_the_second_chunk)
    assert asked == [8, 8, 8, 8]  # answers and samples of two chunks
    seen: list[tuple[int, int]] = []
    resumed = measure(
        subject(),
        scorer=scorer(),
        run_path=tmp_path,
        complete=counting,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert asked[4:] == [4, 4]
    assert seen == [(20, 20)]
    assert resumed == whole
    assert read_evaluation(tmp_path, "before") == whole
    measure(subject(), scorer=scorer(), run_path=tmp_path, complete=counting)
    assert len(asked) == 6


@pytest.mark.parametrize("change", ["weights", "teacher", "settings", "prompts", "matching"])
def test_results_of_another_measurement_are_not_reused(tmp_path: Path, change: str) -> None:
    first = measure(subject(), scorer=scorer(), run_path=tmp_path)
    who, judge, settings, prompts, data = subject(), scorer(), SETTINGS, PROMPTS, DATA
    if change == "weights":
        who = subject(seed=5)
    elif change == "teacher":
        judge = LocalScorer(make_model(seed=3), "another")
    elif change == "settings":
        settings = replace(SETTINGS, max_completion_tokens=5)
    elif change == "prompts":
        prompts = [*PROMPTS[:-1], replace(PROMPTS[-1], answer="q")]
    else:
        data = DataConfig(path="p.jsonl")
    second = evaluate_model(
        who,
        prompts,
        ids_of(prompts),
        data=data,
        settings=settings,
        decode=decode_text(TOKENIZER),
        scorer=judge,
        run_path=tmp_path,
    )
    assert second != first
    assert read_evaluation(tmp_path, "before") == second


def test_expected_answers_that_cannot_be_checked_are_refused() -> None:
    with pytest.raises(ConfigError):
        evaluate_model(
            subject(),
            PROMPTS,
            ids_of(PROMPTS),
            data=DataConfig(path="p.jsonl", answer_match="numeric"),
            settings=SETTINGS,
            decode=decode_text(TOKENIZER),
        )


def test_digests_tell_models_apart() -> None:
    same = weights_digest(make_model(seed=1))
    assert same == weights_digest(make_model(seed=1))
    assert same != weights_digest(make_model(seed=2))
    assert weights_digest(make_model(seed=1).bfloat16()) != same


def test_the_untrained_student_against_itself_is_no_change_in_19_of_20_seeds() -> None:
    """Sampled answers of one model, twice: the evaluations differ, the verdict must not."""
    who = subject()
    prompts = [replace(PROMPTS[0], id=f"q{i}") for i in range(150)]
    sampled = [
        measure(who, prompts, settings=Settings(max_completion_tokens=2, temperature=1.0, seed=seed, chunk_size=150))
        for seed in range(40)
    ]
    level = per_prompt(sampled[0], "exact_match").mean
    assert 0.02 < level < 0.98, "the test needs a metric that varies"
    assert sampled[0] != sampled[1]
    verdicts = [
        reach_verdict({"before": sampled[2 * i], "after": sampled[2 * i + 1]}, seed=i).conclusion for i in range(20)
    ]
    assert verdicts.count("no_significant_change") >= 19
