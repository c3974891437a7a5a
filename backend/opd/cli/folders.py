"""The data folder as commands see it: the store, its jobs, and runs by the names that people type."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opd.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from opd.jobs import Jobs
    from opd.store.runs import RunFolder, RunStore

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, its first letters, or latest.")]


def open_store() -> RunStore:
    """The runs of the data folder ($OPD_DATA_DIR, else ~/.opd-studio)."""
    from opd.store.files import data_dir
    from opd.store.runs import RunStore

    return RunStore(data_dir())


def open_jobs(store: RunStore) -> Jobs:
    """What starts and stops the runs of a store."""
    from opd.jobs import Jobs
    from opd.keys import Keys

    return Jobs(store, Keys(store.root))


def find_run(store: RunStore, name: str) -> RunFolder:
    """A run by its id, by the beginning of it, or `latest`.

    Raises:
        NotFoundError: there is none.
        InputError: several ids begin like that.
    """
    runs = list(store)
    if name == "latest":
        if not runs:
            raise NotFoundError("There is no run yet.", hint="Start one with `opd demo` or `opd train CONFIG.yaml`.")
        return runs[0]
    matching = [run for run in runs if run.run_id == name] or [run for run in runs if run.run_id.startswith(name)]
    if len(matching) > 1:
        raise InputError(f"{len(matching)} runs begin with {name!r}.", hint="Give more of the id.")
    return matching[0] if matching else store.get(name)


def resolve_run_name(store: RunStore, name: str) -> str:
    """The id of the run that a name means; a folder, or a name that no run has, is given back as it is."""
    if Path(name).is_dir() or "/" in name:
        return name
    try:
        return find_run(store, name).run_id
    except NotFoundError:
        if name == "latest":
            raise
        return name
