"""What there is to train with: packages, the two models, and the signal that the objective uses."""

from __future__ import annotations

import re

from opd.config import SIGNAL_WORDS, ChatTeacher, LocalTeacher, RunConfig
from opd.hub_cache import local_folder
from opd.machine import missing_training_packages
from opd.model_files import KNOWN_MODELS, check_model_folder, nearest_models, read_facts
from opd.preflight.items import Finding, count

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def packages() -> Finding:
    """Whether the packages of the `train` extra are installed."""
    missing = missing_training_packages()
    if missing:
        return Finding(
            "fail", f"Not installed: {', '.join(missing)}.", 'Install them with `pip install "opd-studio[train]"`.'
        )
    return Finding("ok", "All are installed.")


def teacher(config: RunConfig) -> Finding | None:
    """Where the teacher is; None for a chat API, whose own items say more."""
    if isinstance(config.teacher, LocalTeacher):
        return model(config.teacher.model)
    if isinstance(config.teacher, ChatTeacher):
        return None
    return Finding("ok", f"{config.teacher.model}, not on this machine.")


def model(name: str) -> Finding:
    """A model folder, or an id that the run will download."""
    folder = local_folder(name)
    if folder is not None:
        check_model_folder(folder)
        facts = read_facts(folder)
        if not facts.has_chat_template:
            return Finding(
                "fail",
                f"{name} has no chat template, so chat prompts cannot be put to it.",
                "Take the instruct or chat version of this model.",
            )
        detail = f"{name}: {count(facts.num_parameters)} parameters, safetensors, context {facts.context_length:,}."
        return Finding("ok", detail)
    near = [] if name in KNOWN_MODELS else nearest_models(name)
    did_you_mean = f"Did you mean {' or '.join(near)}?" if near else ""
    if not HUB_ID.fullmatch(name):
        return Finding(
            "fail",
            f"There is no model folder {name!r}, and it is no Hugging Face id (owner/name).",
            did_you_mean or "Give the path of a folder with config.json and model.safetensors.",
        )
    return Finding(
        "warn",
        f"{name} is not on this machine; the run downloads it first.",
        did_you_mean or "Make sure that the machine is online, or give the path of a model folder.",
    )


def objective(config: RunConfig) -> Finding:
    """What the objective takes of the teacher."""
    how = "not token-level" if config.objective.needs == "text" else "token by token"
    detail = f"{config.objective.type} uses the teacher's {SIGNAL_WORDS[config.objective.needs]}, {how}."
    return Finding("ok", detail)
