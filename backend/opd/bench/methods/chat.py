"""Trials whose teacher only answers: the bundled one behind `opd serve`, asked for questions, answers and marks.

The runs see texts alone. Dollars are counted at the price of gpt-4o-mini, whoever answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opd.bench.methods.lab import Lab
from opd.bench.methods.trials import Trial
from opd.config import BaselineConfig, RunConfig, parse_config
from opd.demo.bundled import chat_teacher_dir
from opd.demo.settings import demo_config

NUM_WRITTEN = 300
_REFRESH_EVERY = 10
_USD_PER_MILLION = {"input_usd_per_million": 0.15, "output_usd_per_million": 0.60}


def _chat(lab: Lab, objective: dict[str, Any], **changes: Any) -> RunConfig:
    """The demo's run with its teacher behind a chat API: the run sees answers and no weights."""
    alone = {"baseline": BaselineConfig(enabled=False)}
    settings = demo_config(seed=lab.seed).model_copy(update=alone).model_dump(mode="json")
    teacher = {
        "type": "chat",
        "model": "local/teacher",
        "base_url": lab.serve(chat_teacher_dir()),
        "reply_form": "lines",
        **_USD_PER_MILLION,
    }
    chat = {"teacher": teacher, "objective": objective, "budget_usd": 5.0}
    return parse_config(settings | chat | changes)


_WRITTEN = {"num_prompts": NUM_WRITTEN}
_WARM = {"steps": 60, "learning_rates": [1e-4, 3e-4, 1e-3]}


def _expand(lab: Lab) -> RunConfig:
    return _chat(lab, {"type": "imitation"}, on_policy_fraction=0.0, expansion=_WRITTEN)


def _mark(lab: Lab) -> RunConfig:
    return _chat(lab, _marked(per_step=16))


def _expand_mark(lab: Lab) -> RunConfig:
    return _chat(lab, _marked(per_step=8), on_policy_fraction=0.5, expansion=_WRITTEN)


def _marked(per_step: int) -> dict[str, Any]:
    """As many drafts as the steps until the next refresh take, so that each is learnt from once."""
    return {"type": "mark", "refresh_every": _REFRESH_EVERY, "drafts": per_step * _REFRESH_EVERY}


def _contrast(lab: Lab) -> RunConfig:
    return _chat(lab, {"type": "contrast"}, learning_rate=1e-4, warm_start=_WARM)


def _guided(lab: Lab) -> RunConfig:
    return _chat(lab, {"type": "guided"}, warm_start=_WARM)


def _trial(name: str, make: Callable[[Lab], RunConfig]) -> Trial:
    return Trial(name, make, answers_only=True)


EXPAND = _trial("expand", _expand)
MARK = _trial("mark", _mark)
EXPAND_MARK = _trial("expand_mark", _expand_mark)
CONTRAST = _trial("contrast", _contrast)
GUIDED = _trial("guided", _guided)
