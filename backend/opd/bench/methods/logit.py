"""Trials of teachers that score: behind HTTP, with another tokenizer, or both. The rest is the demo's run.

Between two tokenizers the prompts are many, since on-policy training needs no answers and so asks nothing of them but
to be there; `cross_tokenizer_few` keeps the demo's 119.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from opd.bench.methods.lab import Lab
from opd.bench.methods.trials import Trial, write_prompts
from opd.config import RunConfig, parse_config
from opd.demo.bundled import teacher_dir
from opd.demo.other_tokenizer import other_student, other_teacher
from opd.demo.settings import demo_config
from opd.demo.task import train_prompts

NUM_MANY_PROMPTS = 1_119
SERVED_NAME = "teacher"


def many_prompts(lab: Lab) -> Path:
    """A file of more questions of the demo's kind."""
    return write_prompts(lab.folder / "many_prompts.jsonl", list(train_prompts(NUM_MANY_PROMPTS)))


def _changed(lab: Lab, *, many: bool = True, baseline: bool = False, **changes: Any) -> RunConfig:
    """The demo's run with these settings, alone unless a `baseline` is asked for."""
    settings = {**demo_config(seed=lab.seed).model_dump(mode="json", exclude={"objective"}), **changes}
    settings["baseline"] = {**settings["baseline"], "enabled": baseline}
    if many:
        settings["data"] = {**settings["data"], "path": str(many_prompts(lab))}
    return parse_config(settings)


def _served(lab: Lab, model: Path, **changes: Any) -> dict[str, Any]:
    return {"type": "server", "base_url": lab.serve(model, name=SERVED_NAME), "model": SERVED_NAME, **changes}


def _top_k(lab: Lab, *, top_k: int) -> RunConfig:
    objective = {"type": "topk_reverse_kl", "top_k": top_k}
    return _changed(lab, many=False, teacher=_served(lab, teacher_dir()), objective=objective)


def _across(lab: Lab, *, many: bool, baseline: bool = False, **changes: Any) -> RunConfig:
    teacher = other_teacher(lab.folder, make=not lab.on_paper)
    return _changed(lab, many=many, baseline=baseline, teacher={"type": "local", "model": str(teacher)}, **changes)


_gold = partial(_across, many=True, objective={"type": "gold"})


def _across_served(lab: Lab) -> RunConfig:
    model = other_teacher(lab.folder, make=not lab.on_paper)
    return _changed(lab, teacher=_served(lab, model, tokenizer=str(model)), objective={"type": "topk_reverse_kl"})


def _coarse(lab: Lab, *, across: bool) -> RunConfig:
    make = not lab.on_paper
    teacher = teacher_dir() if across else other_teacher(lab.folder, make=make)
    student = {"model": str(other_student(lab.folder, make=make)), "training": "full"}
    return _changed(lab, student=student, teacher={"type": "local", "model": str(teacher)})


SERVED_TOP20 = Trial("served_top20", partial(_top_k, top_k=20))
SERVED_TOP8 = Trial("served_top8", partial(_top_k, top_k=8))
CROSS_TOKENIZER = Trial("cross_tokenizer", partial(_across, many=True))
CROSS_TOKENIZER_FEW = Trial("cross_tokenizer_few", partial(_across, many=False, baseline=True))
CROSS_TOKENIZER_SERVED = Trial("cross_tokenizer_served", _across_served)
CROSS_TOKENIZER_COARSE = Trial("cross_tokenizer_coarse", partial(_coarse, across=True))
SAME_TOKENIZER_COARSE = Trial("same_tokenizer_coarse", partial(_coarse, across=False))
GOLD_STOCK = Trial("gold_stock", _gold, program="opd.bench.methods.stock_gold")
GOLD_PATCHED = Trial("gold_patched", _gold)
