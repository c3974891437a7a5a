"""What a teacher wrote in a run, for people: prompts, marked drafts, and which prompts a person has struck.

In: a run's folder. Out: what its stages keep, as it is on disk. Only the numbers of struck prompts are written here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opd.store.files import read_json, write_json

STRUCK = "struck_prompts.json"


def written_prompts(run: Path) -> dict[str, Any] | None:
    """The result of the expansion; None where there is none (yet)."""
    found = read_json(run / "stages" / "expansion.json")
    return found if isinstance(found, dict) else None


def set_aside_answers(run: Path) -> list[dict[str, Any]]:
    """Answers that are not trained on, with the reason."""
    found = read_json(run / "stages" / "text_answers.json")
    return list(found["set_aside"]) if isinstance(found, dict) else []


def marked_drafts(run: Path, refresh: int) -> dict[str, Any] | None:
    """The drafts of one refresh and their marks; None where it has not happened."""
    found = read_json(run / "stages" / f"marks-{refresh:05d}.json")
    return found if isinstance(found, dict) else None


def num_refreshes(run: Path) -> int:
    """Refreshes that have been marked so far."""
    return sum(1 for _ in (run / "stages").glob("marks-*.json"))


def struck_prompts(run: Path) -> frozenset[int]:
    """Numbers of the written prompts that a person does not want, from 0."""
    found = read_json(run / STRUCK)
    return frozenset(int(number) for number in found) if isinstance(found, list) else frozenset()


def strike(run: Path, numbers: Iterable[int]) -> frozenset[int]:
    """Set which written prompts are struck.

    Raises:
        ValueError: a number that no written prompt has.
    """
    chosen, kept = sorted(set(numbers)), written_prompts(run)
    num = len(kept["kept"]) if kept else 0
    if any(not 0 <= number < num for number in chosen):
        raise ValueError(f"there are {num} written prompts, numbered from 0")
    write_json(run / STRUCK, chosen)
    return frozenset(chosen)
