"""What a teacher will cost, before anything is asked: tiers, what is kept, what is typed, what is not known."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from fake_provider import CountingBrain, FakeProvider
from opd.cli import run as opd_command
from opd.config import RunConfig, objective_needs
from opd.errors import ConfigError
from opd.estimate import Estimate, estimate
from opd.estimate.asking import ask_three
from opd.estimate.bill import bill_of
from opd.estimate.calls import PlannedCalls
from opd.estimate.habits import Range, Seen, habits_of, text_tokens
from opd.estimate.judging import CRITERIA_FORM_TOKENS, PAIR_FORM_TOKENS
from opd.estimate.scoring import MEASURED
from opd.evaluation.judge import PAIRWISE_PROMPT, RUBRIC_PROMPT
from opd.machine import Device
from opd.pipeline.measuring import SCORED_PROMPTS
from opd.pricing import Usage, price, resolve_model
from opd.store.money import Ledger, costs
from opd.store.runs import RunStore
from opd.terms import TermsNotAcceptedError
from studio_in_tests import config

CPU = Device(kind="cpu", name="test", memory_total_bytes=2**34, memory_available_bytes=2**34)
IMITATION: dict[str, Any] = {"objective": {"type": "imitation"}, "on_policy_fraction": 0.0}
NO_KEY = lambda provider: None  # noqa: E731


def chat(model: str = "openai/gpt-4o-mini", **changes: Any) -> RunConfig:
    teacher = {"type": "chat", "model": model} | changes.pop("teacher", {})
    return config("", **(IMITATION | {"teacher": teacher, "budget_usd": 5.0} | changes))


def reckon(settings: RunConfig, folder: Path) -> Estimate:
    found = estimate(settings, store=RunStore(folder), device=CPU)
    for bounds in (found, *found.stages):
        if bounds.likely_usd is not None:
            assert bounds.low_usd is not None
            assert bounds.high_usd is not None
            assert bounds.low_usd <= bounds.likely_usd <= bounds.high_usd
    return found


def test_each_request_is_priced_apart_where_the_sum_would_be_five_times_wrong() -> None:
    model = resolve_model("anthropic/claude-haiku-5-5")
    one = Range(1.0, 1.0, 1.0)
    calls = PlannedCalls("answers", "", Range(200, 200, 200), (1000.0, 3000.0), one, Range(500, 500, 500))
    found = bill_of([calls], model, "likely")
    assert found.nano_usd == 100 * (price(Usage(1000, 0, 500), model) + price(Usage(3000, 0, 500), model))
    assert (found.input_tokens, found.output_tokens, found.num_requests) == (400_000, 100_000, 200)
    assert price(Usage(found.input_tokens, 0, found.output_tokens), model) == 5 * found.nano_usd


def test_a_long_request_falls_into_its_own_tier_and_batches_are_cheaper() -> None:
    model = resolve_model("anthropic/claude-haiku-5-5")
    one = Range(1.0, 1.0, 1.0)
    calls = PlannedCalls("answers", "", Range(2, 2, 2), (1000.0, 200_000.0), one, Range(10, 10, 10))
    dear = price(Usage(200_000, 0, 10), model)
    assert bill_of([calls], model, "likely").nano_usd == price(Usage(1000, 0, 10), model) + dear
    assert bill_of([calls], model, "likely", batch=True).nano_usd * 2 == bill_of([calls], model, "likely").nano_usd


def test_the_plan_follows_the_configuration(tmp_path: Path) -> None:
    base = reckon(chat(), tmp_path)
    assert base.teacher_is_paid
    assert base.price_date is not None
    assert [stage.stage for stage in base.stages] == ["answers", "answers"]
    num_answers = base.stages[0].num_requests
    twice = reckon(chat(answers={"per_prompt": 2}), tmp_path)
    assert twice.stages[0].num_requests == 2 * num_answers
    longer = reckon(chat(sampling={"max_completion_tokens": 1024}), tmp_path)
    assert longer.likely_usd > 1.5 * base.likely_usd
    steps = reckon(chat(max_steps=4000), tmp_path)
    assert steps.likely_usd == base.likely_usd, "answers are asked for once, however many steps"
    assert steps.every_step_usd == pytest.approx(20 * base.every_step_usd)
    thinking = reckon(chat(teacher={"thinking_tokens": 4000}), tmp_path)
    assert thinking.high_usd > 5 * base.high_usd
    expanded = reckon(chat(expansion={"num_prompts": 100}), tmp_path)
    assert {stage.stage for stage in expanded.stages} == {"answers", "expansion"}
    marked = {"objective": {"type": "mark", "refresh_every": 30, "drafts": 7}, "on_policy_fraction": 1.0}
    marking = reckon(chat(max_steps=100, **marked), tmp_path).stages[-1]
    assert (marking.stage, round(marking.num_requests / 1.03)) == ("marking", 4 * 7)
    guided = reckon(chat(objective={"type": "guided"}, on_policy_fraction=1.0), tmp_path)
    assert [stage.words for stage in guided.stages if stage.stage == "guide"] == ["guide", "criteria of each prompt"]


def test_three_real_answers_narrow_the_range_and_are_not_paid_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPD_DATA_DIR", str(tmp_path))
    with FakeProvider(CountingBrain()) as provider:
        teacher = {"base_url": f"{provider.url}/v1", "input_usd_per_million": 1, "output_usd_per_million": 10}
        settings = chat("local/tiny", teacher=teacher)
        assumed = reckon(settings, tmp_path)
        (tmp_path / "run.yaml").write_text(settings.as_yaml())
        assert opd_command(["estimate", str(tmp_path / "run.yaml"), "--ask", "--json"]) == 0
        seen = Estimate.model_validate_json(capsys.readouterr().out)
        assert (seen.num_seen, seen.num_kept, assumed.num_seen) == (3, 3, 0)
        assert seen.stages[0].num_requests == assumed.stages[0].num_requests - 3
        assert seen.high_usd - seen.low_usd < 0.1 * (assumed.high_usd - assumed.low_usd)
        paid = provider.invoice.nano_usd
        ask_three(settings, ledger=tmp_path / "money.db", key_of=NO_KEY)
        assert provider.invoice.nano_usd == paid
    with Ledger(tmp_path / "money.db") as ledger:
        (row,) = costs(ledger)
    assert (row.run_id, row.stage, row.num_calls, row.num_hits) == ("estimate", "estimate", 3, 3)
    assert row.spent_nano_usd == paid


def test_nobody_is_asked_before_the_terms_are_accepted(tmp_path: Path) -> None:
    with FakeProvider(CountingBrain()) as provider:
        settings = chat("openai/gpt-4o-mini", teacher={"base_url": f"{provider.url}/v1"})
        ask = partial(ask_three, settings, ledger=tmp_path / "money.db", key_of=NO_KEY)
        with pytest.raises(TermsNotAcceptedError, match="OpenAI") as refused:
            ask()
        assert provider.seen == []
        assert not (tmp_path / "money.db").exists()
        ask(accepted=[str(refused.value.details["code"])])
        assert len(provider.seen) == 3


def test_a_local_teacher_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="local teacher is not asked"):
        ask_three(config(""), ledger=tmp_path / "money.db", key_of=NO_KEY)


def test_what_is_not_priced_is_said_and_never_zero(tmp_path: Path) -> None:
    unknown = reckon(chat("openai/gpt-9-imaginary"), tmp_path)
    assert unknown.teacher_is_paid
    assert (unknown.low_usd, unknown.likely_usd, unknown.high_usd) == (None, None, None)
    assert "gpt-9-imaginary" in unknown.price_problem
    assert 0 < unknown.low_tokens < unknown.high_tokens
    typed = chat("openai/gpt-9-imaginary", teacher={"input_usd_per_million": 1, "output_usd_per_million": 2})
    assert reckon(typed, tmp_path).likely_usd > 0
    capped = reckon(chat("openai/gpt-9-imaginary", budget_usd=None, budget_tokens=1_000_000), tmp_path)
    assert (capped.price_problem, capped.likely_usd) == ("", None)
    assert capped.high_tokens == unknown.high_tokens
    free = reckon(chat("local/qwen3:8b", teacher={"base_url": "http://127.0.0.1:11434/v1"}), tmp_path)
    assert (free.teacher_is_paid, free.likely_usd) == (False, 0.0)


def test_a_server_that_scores_is_asked_at_every_step(tmp_path: Path) -> None:
    server = {"type": "server", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    fitting = next(name for name, need in objective_needs().items() if need == "topk_logprobs")
    changes: dict[str, Any] = {"objective": {"type": fitting}}
    own = reckon(config("", teacher=server, **changes), tmp_path)
    assert not own.teacher_is_paid
    paid = server | {
        "base_url": "https://api.together.xyz/v1",
        "dialect": "together",
        "model": "deepseek-ai/DeepSeek-V4-Pro-0813",
    }
    changes["evaluation"] = {"enabled": False}
    steps = [reckon(config("", teacher=paid, max_steps=n, **changes), tmp_path) for n in (100, 200)]
    assert [stage.stage for stage in steps[0].stages] == ["scoring"]
    assert steps[1].input_tokens == 2 * steps[0].input_tokens
    assert steps[1].likely_usd == steps[1].every_step_usd == pytest.approx(2 * steps[0].likely_usd)
    typed = server | {"input_usd_per_million": 1, "output_usd_per_million": 1}
    assert reckon(config("", teacher=typed, **changes), tmp_path).likely_usd > 0, (
        "a typed price is a price, whatever it speaks"
    )
    unknown = reckon(config("", teacher=paid | {"model": "nobody/knows"}, **changes), tmp_path)
    assert unknown.teacher_is_paid
    assert unknown.likely_usd is None
    assert "nobody/knows" in unknown.price_problem


def test_a_judge_is_asked_in_both_orders_about_every_model_and_by_criteria(tmp_path: Path) -> None:
    judge = {"model": "openai/gpt-4o-mini", "max_prompts": 4, "criteria": ["Names the unit."]}
    base = reckon(config("", evaluation={"judge": judge}), tmp_path)
    assert base.teacher_is_paid, "the judge is"
    assert [(stage.stage, stage.num_requests) for stage in base.stages] == [("judging", 2 * 4), ("judging", 2 * 4)]
    baseline = reckon(config("", evaluation={"judge": judge}, baseline={"enabled": True}), tmp_path)
    assert [stage.num_requests for stage in baseline.stages] == [2 * 4 * 2, 3 * 4]
    apart = reckon(chat(evaluation={"judge": judge | {"model": "anthropic/claude-haiku-5-5"}}), tmp_path)
    assert apart.likely_usd == pytest.approx(sum(stage.likely_usd for stage in apart.stages))
    assert {stage.stage for stage in apart.stages} == {"answers", "judging"}
    unpriced = reckon(chat(evaluation={"judge": judge | {"model": "openai/gpt-9-imaginary"}}), tmp_path)
    assert unpriced.likely_usd is None, "half a sum is no sum"


def test_the_judges_instructions_are_as_long_as_reckoned() -> None:
    for name, tokens in ((PAIRWISE_PROMPT, PAIR_FORM_TOKENS), (RUBRIC_PROMPT, CRITERIA_FORM_TOKENS)):
        text = (files("opd.evaluation") / "prompts" / f"{name}.md").read_text()
        assert text_tokens(text) == pytest.approx(tokens, rel=0.05)
    assert MEASURED == SCORED_PROMPTS


def test_what_is_seen_is_kept_to_and_few_answers_are_no_evidence() -> None:
    seen = [Seen(100, Usage(120, 0, tokens), "One. Two.") for tokens in (40, 50, 60)]
    found = habits_of(seen, limit=512, thinking=0)
    assert found.answer.low < 50 == found.answer.likely < found.answer.high < 80
    assert found.input_factor.likely == pytest.approx(1.2)
    assert habits_of(seen[:1], limit=512, thinking=0).num_seen == 0
    assert habits_of(seen, limit=55, thinking=0).answer.high == 55


def test_tokens_are_reckoned_from_bytes() -> None:
    assert text_tokens("abcdefgh") == 2
    assert text_tokens("半导体") >= 2


def test_the_command_says_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPD_DATA_DIR", str(tmp_path))
    (tmp_path / "run.yaml").write_text(chat().as_yaml())
    assert opd_command(["estimate", str(tmp_path / "run.yaml"), "--scenarios"]) == 0
    said = capsys.readouterr().out
    for words in (
        "answers to training prompts",
        "asked anew",
        "price data of 20",
        "$1.78",
        "The real estimate differs",
    ):
        assert words in said
