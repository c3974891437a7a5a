"""Runs on disk: one folder each, and what can be told from it without asking any process.

    <data dir>/runs/<run_id>/  config.yaml  events.db  process.json  STOP  exit.json  log.txt  tags.json  accepted.json
                               checkpoints/step-000100/…  student/  recommended/  report.{json,html,md}

A run's state is derived (exit record, else the process that holds it), never stored: it cannot be wrong after a
crash. `opd train` and the studio make identical folders.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml
from filelock import FileLock, Timeout

from opd.config import RunConfig, parse_config
from opd.errors import BusyError, ConfigError, NotFoundError, StorageError
from opd.events import Outcome, RunFailure, RunSummary, fold
from opd.store.endings import explain_death, guess_death
from opd.store.events_db import EventReader, EventWriter
from opd.store.files import read_json, read_tail, write_durably, write_json

RunState = Literal["queued", "running", "stopping", "done", "stopped", "failed", "paused", "interrupted"]
StopMode = Literal["save", "discard"]
ACTIVE: frozenset[RunState] = frozenset({"running", "stopping"})
RESUMABLE: frozenset[RunState] = frozenset({"stopped", "failed", "paused", "interrupted"})
_LOG_TAIL_BYTES = 16 * 1024
_SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def _from_yaml(text: str) -> Any:
    """What `yaml.safe_load` gives, in a tenth of the time where PyYAML was built with libyaml."""
    loader = _SAFE_LOADER(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


@dataclass(frozen=True)
class RunFolder:
    """One run's folder. Cheap; holds nothing open."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def events_path(self) -> Path:
        return self.path / "events.db"

    @property
    def log_path(self) -> Path:
        return self.path / "log.txt"

    @property
    def checkpoints_path(self) -> Path:
        return self.path / "checkpoints"

    @property
    def student_path(self) -> Path:
        """The finished model, present once the run has ended well or was stopped and saved."""
        return self.path / "student"

    @property
    def recommended_path(self) -> Path:
        """The model that the verdict recommends, present where that is another than the trained student."""
        return self.path / "recommended"

    @property
    def best_path(self) -> Path:
        """The model that export and serve take."""
        there = (self.recommended_path / "config.json").is_file()
        return self.recommended_path if there else self.student_path

    def config(self) -> RunConfig:
        """The configuration the run was started with.

        Raises:
            ConfigError: somebody has changed the file into something that is none.
        """
        try:
            return parse_config(_from_yaml((self.path / "config.yaml").read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(
                f"The configuration of run {self.run_id} cannot be read ({type(error).__name__}).",
                hint="config.yaml in the run's folder was changed or damaged; restore it from a copy.",
            ) from None

    def tags(self) -> list[str]:
        """Words that people gave the run to find it again. They are no part of its configuration."""
        found = read_json(self.path / "tags.json") or {}
        return [str(tag) for tag in found.get("tags", [])]

    def set_tags(self, tags: Iterable[str]) -> list[str]:
        """Replace the tags: trimmed, no empty ones, none twice, in the order given."""
        kept = list(dict.fromkeys(tag for tag in (" ".join(tag.split()) for tag in tags) if tag))
        write_json(self.path / "tags.json", {"tags": kept})
        return kept

    def accepted(self) -> dict[str, str]:
        """Notices that a person has accepted for this run, such as a provider's terms: when (UTC) by code."""
        found = read_json(self.path / "accepted.json") or {}
        return {str(code): str(moment) for code, moment in found.items()}

    def accept(self, codes: Iterable[str]) -> None:
        """Record that a person has accepted these notices; a first acceptance keeps its time."""
        before = self.accepted()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        after = {**dict.fromkeys(codes, now), **before}
        if after != before:
            write_json(self.path / "accepted.json", after)

    def created_time(self) -> float:
        return (self.path / "config.yaml").stat().st_mtime

    def state(self) -> RunState:
        """What the folder and the process table say right now."""
        record = read_json(self.path / "exit.json")
        if record is not None:
            outcome: Outcome = record["outcome"]
            return outcome
        process = read_json(self.path / "process.json")
        if process is None:
            return "queued"
        if not _is_alive(process):
            return "interrupted"
        return "stopping" if self.stop_requested() else "running"

    def failure(self) -> RunFailure | None:
        """Why the run failed or was interrupted: its own word, else what the system said of its process."""
        record = read_json(self.path / "exit.json")
        if record is not None:
            return RunFailure.model_validate(record["error"]) if record.get("error") else None
        process, death = read_json(self.path / "process.json"), read_json(self.path / "death.json")
        if process is None or _is_alive(process):
            return None
        if death is not None and death["pid"] == process["pid"]:
            return explain_death(int(death["returncode"]))
        if _is_alive(process.get("parent", {})):
            return None  # whoever started it is about to hear how it ended
        return guess_death(read_tail(self.log_path, _LOG_TAIL_BYTES))

    def pid(self) -> int | None:
        process = read_json(self.path / "process.json")
        return int(process["pid"]) if process and _is_alive(process) else None

    def summary(self, known: RunSummary | None = None) -> RunSummary:
        """The fold over all events so far; empty before the first.

        Args:
            known: an earlier summary of this run, to go on from.
        """
        summary = known or RunSummary()
        with self.reader() as reader:
            return fold(reader.read_essence(summary.seq), summary)

    def files(self) -> list[tuple[str, int]]:
        """Path inside the folder and size in bytes of every regular file, sorted by path; links are left out."""
        found = [path for path in self.path.rglob("*") if path.is_file() and not path.is_symlink()]
        return sorted((path.relative_to(self.path).as_posix(), path.stat().st_size) for path in found)

    def reader(self) -> EventReader:
        return EventReader(self.events_path)

    def writer(self) -> EventWriter:
        return EventWriter(self.events_path, create=False)

    # --- doors between the studio and the run's process -------------------------------------------

    def request_stop(self, mode: StopMode) -> None:
        """Ask the run to end after the current step. It looks for this file at every step."""
        write_durably(self.path / "STOP", mode.encode())

    def stop_requested(self) -> StopMode | None:
        try:
            return "discard" if (self.path / "STOP").read_text() == "discard" else "save"
        except FileNotFoundError:
            return None

    def stop_requested_for_s(self) -> float:
        """Seconds since the stop was asked for; 0 where none was."""
        try:
            return max(0.0, time.time() - (self.path / "STOP").stat().st_mtime)
        except FileNotFoundError:
            return 0.0

    def begin(self) -> FileLock:
        """Take the run for this process, and clear the marks of an earlier one.

        Raises:
            BusyError: another process is already at it.
        """
        lock = FileLock(self.path / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(
                f"Run {self.run_id} is already being worked on by process {self.pid() or 'unknown'}.",
                hint="Wait for it, or stop it with `opd runs stop`.",
                details={"run_id": self.run_id, "pid": self.pid()},
            ) from None
        me = psutil.Process()
        process = read_json(self.path / "process.json")
        prepared = process is not None and process["pid"] == me.pid and _is_alive(process)
        if not prepared or (self.path / "exit.json").exists():
            # Otherwise whoever spawned this process has done it; again, it could lose a stop asked for since then.
            self.clear_marks()
            self.record_process(me.pid)
        return lock

    def is_held(self) -> bool:
        """Whether a process holds the run at this moment."""
        lock = FileLock(self.path / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def clear_marks(self) -> None:
        """Forget how an earlier attempt ended. Only for who is about to work on the run."""
        for name in ("exit.json", "death.json", "STOP"):
            (self.path / name).unlink(missing_ok=True)

    def record_process(self, pid: int) -> None:
        """Name the process that works on the run: from now on the run is active for as long as it lives."""
        me = psutil.Process()
        parent = {"pid": me.pid, "create_time": me.create_time()} if me.pid != pid else {}
        record = {"pid": pid, "create_time": psutil.Process(pid).create_time(), "parent": parent}
        write_json(self.path / "process.json", record)

    def record_death(self, pid: int, returncode: int) -> None:
        """Keep how the process ended, as its parent saw it: the only word on one that could not speak for itself."""
        write_json(self.path / "death.json", {"pid": pid, "returncode": returncode, "time": time.time()})

    def end(self, outcome: Outcome, *, step: int, error: RunFailure | None = None) -> None:
        """Write the exit record: from now on the run's state is `outcome`."""
        record: dict[str, Any] = {"outcome": outcome, "step": step, "time": time.time()}
        if error:
            record["error"] = error.model_dump()
        try:
            write_json(self.path / "exit.json", record)
        except OSError:  # a disk that cannot sync may still keep a word, and a torn one counts as none
            (self.path / "exit.json").write_text(json.dumps(record), encoding="utf-8")


class RunStore:
    """All runs below a data folder."""

    def __init__(self, root: Path):
        self.root = root
        self.runs_path = root / "runs"

    def create(self, config: RunConfig, run_id: str | None = None) -> RunFolder:
        """Make a run's folder with an empty event log and its configuration, which makes it a run; starts nothing."""
        run_id = run_id or new_run_id()
        folder = self.runs_path / _checked_id(run_id)
        try:
            folder.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            raise BusyError(f"Run {run_id} exists already.", hint="Choose another id.") from None
        EventWriter(folder / "events.db").close()
        write_durably(folder / "config.yaml", config.as_yaml().encode())
        return RunFolder(folder)

    def get(self, run_id: str) -> RunFolder:
        """The folder of a run.

        Raises:
            NotFoundError: there is none of this id (an id is never taken for a path).
        """
        folder = self.runs_path / run_id
        if not _RUN_ID.fullmatch(run_id) or not (folder / "config.yaml").is_file():
            raise NotFoundError(
                f"There is no run {run_id[:64]!r} in this data folder.", hint="`opd runs list` names all of them."
            )
        return RunFolder(folder)

    def __iter__(self) -> Iterator[RunFolder]:
        """Newest first."""
        if not self.runs_path.is_dir():
            return
        names = sorted((p.name for p in self.runs_path.iterdir() if _RUN_ID.fullmatch(p.name)), reverse=True)
        for name in names:
            if (self.runs_path / name / "config.yaml").is_file():
                yield RunFolder(self.runs_path / name)

    def active(self) -> RunFolder | None:
        """The run that is at work now, if any."""
        return next((run for run in self if run.state() in ACTIVE), None)

    def delete(self, run_id: str) -> None:
        """Remove a run's folder for good.

        Raises:
            BusyError: the run is at work.
        """
        run = self.get(run_id)
        if run.state() in ACTIVE:
            raise BusyError(f"Run {run_id} is at work.", hint="Stop it first.", details={"run_id": run_id})
        grave = self.runs_path / f".deleted-{run_id}"
        try:
            os.replace(run.path, grave)
            shutil.rmtree(grave)
        except OSError as error:
            raise StorageError(
                f"Run {run_id} could not be deleted: {error.strerror}.", hint="Check the folder."
            ) from None


def new_run_id() -> str:
    """Sortable by time, unique by chance: 20261123-152233-1f0c."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def _checked_id(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise NotFoundError(
            f"{run_id[:64]!r} is not a run id.", hint="Ids are small letters, digits, - and _, at most 64 characters."
        )
    return run_id


def _is_alive(process: dict[str, Any]) -> bool:
    """Whether the recorded process still lives: same pid, same start (pids are reused), not a zombie."""
    try:
        found = psutil.Process(int(process["pid"]))
        same = abs(found.create_time() - float(process["create_time"])) < 1.0
        return same and found.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, KeyError, ValueError):
        return False
