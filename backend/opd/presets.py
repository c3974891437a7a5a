"""Ready-made starting points: recipes for the page, the bundled demo, the example data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

import opd
from opd.config import RunConfig


class Preset(BaseModel):
    """A recipe: settings to lay over a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    id: str
    title: str
    description: str
    changes: dict[str, JsonValue]


def presets() -> list[Preset]:
    """Recipes from quick to thorough. They set length and comparison only; what is learned stays as chosen."""
    return [
        Preset(
            id="quick",
            title="Quick",
            description="A first look: few steps, no baseline. The verdict has wide intervals.",
            changes={
                "max_steps": 60,
                "batch_size": 8,
                "baseline": {"enabled": False},
                "evaluation": {"max_prompts": 60},
                "checkpoint": {"every_steps": 20},
            },
        ),
        Preset(
            id="balanced",
            title="Balanced",
            description="The defaults: 200 steps of 16 completions, measured before and after.",
            changes={
                "max_steps": 200,
                "batch_size": 16,
                "baseline": {"enabled": False},
                "evaluation": {"max_prompts": 500},
                "checkpoint": {"every_steps": 50},
            },
        ),
        Preset(
            id="thorough",
            title="Thorough",
            description="Longer, and against a tuned imitation baseline with the same steps: the honest comparison.",
            changes={
                "max_steps": 600,
                "batch_size": 32,
                "baseline": {"enabled": True},
                "evaluation": {"max_prompts": 500},
                "checkpoint": {"every_steps": 50},
            },
        ),
    ]


def demo_config() -> RunConfig | None:
    """The bundled distillation as a configuration; None where the bundled models are not installed."""
    if not bundled_models():
        return None
    from opd.demo.settings import demo_config as bundled

    return bundled()


def bundled_models() -> list[tuple[Path, str]]:
    """Folder and label of the models that come with the product."""
    if find_spec("opd.demo.bundled") is None:
        return []
    from opd.demo import bundled

    models = [(bundled.teacher_dir(), "Demo teacher"), (bundled.student_dir(), "Demo student")]
    return models if all((folder / "config.json").is_file() for folder, _ in models) else []


def example_data() -> dict[Path, str]:
    """Name for people by path of the data files that come with the product: examples, and the demo's questions."""
    return {**_examples(), **_demo_data()}


def _examples() -> dict[Path, str]:
    """The examples of an installed package, else of the checkout."""
    package = Path(opd.__file__).resolve().parent
    for folder in (package / "examples" / "data", package.parents[1] / "examples" / "data"):
        if folder.is_dir():
            return {path: path.name for path in sorted(folder.glob("*.jsonl"))}
    return {}


def _demo_data() -> dict[Path, str]:
    if find_spec("opd.demo.bundled") is None:
        return {}
    from opd.demo import bundled

    path = bundled.data_path("train")
    return {path: "demo_arithmetic.jsonl"} if path.is_file() else {}
