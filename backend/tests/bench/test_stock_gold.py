"""TRL's GOLDTrainer as it comes, as a trial of the bench: between two tokenizers, measured like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from opd.bench.methods.lab import Lab
from opd.bench.methods.trials import Trial, Trials
from opd.config import RunConfig, parse_config
from opd.demo.settings import demo_config
from tokenizers_in_tests import byte_level, model_for

pytestmark = pytest.mark.usefixtures("warm_interpreters")


def test_the_stock_trainer_is_a_trial_like_any_other(tmp_path: Path) -> None:
    tokenizer = byte_level("words", 900, 1)
    model_for(tokenizer).save_pretrained(tmp_path / "teacher")
    tokenizer.save_pretrained(tmp_path / "teacher")

    def make(lab: Lab) -> RunConfig:
        settings = demo_config(seed=lab.seed).model_dump(mode="json")
        changes = {
            "teacher": {"type": "local", "model": str(tmp_path / "teacher")},
            "objective": {"type": "gold"},
            "max_steps": 2,
            "batch_size": 4,
            "evaluation": {"max_prompts": 8},
        }
        return parse_config(settings | changes)

    trial = Trial("gold_stock", make, program="opd.bench.methods.stock_gold")
    found = Trials(tmp_path).run(trial, 0)
    assert set(found) == {"after"}
    assert len(found["after"].correct) == 8
    assert found["after"].facts["grad_norm"] > 0
    assert Trials(tmp_path).kept(trial, 0) == found
