"""Ready-made starting points: recipes for the page, the bundled demo, the example data."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

import opd
from opd.config import RunConfig
from opd.machine import Device


class Preset(BaseModel):
    """A recipe: settings to lay over a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    id: str
    title: str
    description: str
    changes: dict[str, JsonValue]


def presets(device: Device) -> list[Preset]:
    """Recipes from quick to thorough, sized for a device. They set length, batch and comparison only: what is learned
    stays as chosen, and their batches differ in the number of completions a step, never in the loss.
    """
    rows = _batch_sizes(device)
    place = f"{device.name}, {device.memory_total_bytes / 1e9:.0f} GB" if device.kind == "cuda" else _WORDS[device.kind]
    return [
        Preset(
            id="quick",
            title="Quick",
            description=f"A first look: 60 steps of {rows[0]} completions, no baseline. The verdict has wide intervals."
            f" Sized for {place}.",
            changes=_recipe(60, rows[0], baseline=False, max_prompts=60, every_steps=20),
        ),
        Preset(
            id="balanced",
            title="Balanced",
            description=f"200 steps of {rows[1]} completions, measured before and after. Sized for {place}.",
            changes=_recipe(200, rows[1], baseline=False, max_prompts=500, every_steps=50),
        ),
        Preset(
            id="best",
            title="Best",
            description=f"600 steps of {rows[2]} completions, and against a tuned imitation baseline with the same "
            f"steps: the honest comparison. Sized for {place}.",
            changes=_recipe(600, rows[2], baseline=True, max_prompts=500, every_steps=50),
        ),
    ]


_WORDS = {"cpu": "this processor", "mps": "this Mac", "cuda": "this GPU"}


def _batch_sizes(device: Device) -> tuple[int, int, int]:
    """Completions a step: more where memory lets many be written at once; a processor writes them one after another."""
    if device.kind == "cpu" or device.memory_total_bytes < 12e9:
        return 8, 16, 16
    return (8, 16, 32) if device.memory_total_bytes < 40e9 else (16, 32, 64)


def _recipe(steps: int, rows: int, *, baseline: bool, max_prompts: int, every_steps: int) -> dict[str, JsonValue]:
    return {
        "max_steps": steps,
        "batch_size": rows,
        "baseline": {"enabled": baseline},
        "evaluation": {"max_prompts": max_prompts},
        "checkpoint": {"every_steps": every_steps},
    }


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
