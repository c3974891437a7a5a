"""Every trial of the chosen rows with every seed, then the rows filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from opd.bench.methods.catalogue import Row
from opd.bench.methods.table import Line, fill
from opd.bench.methods.trials import Outcome, Trials

Progress = Callable[[int, int, str], None]
"""Called with what is done, what there is to do, and in words what is being done."""
_PARTS = 100


def run_methods_bench(
    rows: Sequence[Row], *, num_seeds: int, folder: Path, progress: Progress = lambda done, total, text: None
) -> list[Line]:
    """Run what has no kept result, and fill the rows.

    Raises:
        RunFailedError: a trial did not come to its end; what was done is kept.
    """
    trials = Trials(folder)
    wanted = [(row.trial, seed) for row in rows for seed in range(num_seeds)]
    work = list({(trial.name, seed): (trial, seed) for trial, seed in wanted}.values())
    results: dict[tuple[str, int], dict[str, Outcome]] = {}
    for done, (trial, seed) in enumerate(work):

        def tell(share: float, done: int = done, text: str = f"{trial.name}, seed {seed}") -> None:
            progress(round((done + min(share, 1.0)) * _PARTS), len(work) * _PARTS, text)

        tell(0.0)
        results[trial.name, seed] = trials.run(trial, seed, tell)
    progress(len(work) * _PARTS, len(work) * _PARTS, "all trials are done")
    return [fill(row, [results[row.trial.name, seed][row.subject] for seed in range(num_seeds)]) for row in rows]
