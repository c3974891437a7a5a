"""Runs as processes: start, queue, stop, resume, delete. The studio and the command line go through the same door.

A run is a detached process that outlives whoever started it; its state is read from its folder, so nothing here has
to be adopted after a restart. A gate (a lock between threads and between processes) makes "look whether the device
is free, then start" one step.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from opd.config import ChatModel, ChatTeacher, RunConfig, ServerTeacher, resolve_paths
from opd.errors import BusyError, ConfigError, InputError, NotFoundError, StorageError
from opd.events import Fix, RunFailure
from opd.keys import VARIABLES, Keys, provider_of_server
from opd.processes import hand_over_keys, spawn_detached
from opd.store.amendments import amend
from opd.store.runs import ACTIVE, RESUMABLE, RunFolder, RunStore, StopMode, new_run_id
from opd.store.studio import StudioDb
from opd.terms import require_accepted

PIPELINE = ("-P", "-m", "opd.pipeline")
_GATE_TIMEOUT_S = 60
_PATIENCE_S = 10.0
"""How long a run that was asked to discard may go on before a repeated request ends it."""


class Jobs:
    """Starts and stops the runs of one data folder.

    Args:
        db: remembers request ids; None where requests cannot repeat (the command line).
    """

    def __init__(self, store: RunStore, keys: Keys, db: StudioDb | None = None):
        self._store = store
        self._keys = keys
        self._db = db
        self._threads = threading.Lock()

    def start(
        self,
        config: RunConfig,
        *,
        request_id: str | None = None,
        acknowledged: Sequence[str] = (),
        queue: bool = False,
    ) -> RunFolder:
        """Make a run's folder and start its process.

        Args:
            request_id: repeating it answers with the same run and starts nothing.
            acknowledged: codes of notices the person has accepted; kept with the run.
            queue: where the device is busy, wait for it instead of refusing; needs a studio, which starts it later.

        Raises:
            BusyError: a run is at work on this device; `details.run_id` names it.
            InputError: the request id was used for another configuration, or a notice was not accepted.
            NotFoundError: the run of this request id was deleted.
            StorageError: the process could not be started.
        """
        config = resolve_paths(config, Path.cwd())
        require_accepted(config, acknowledged)
        with self._gate():
            run_id, known = self._run_id_for(request_id, config)
            run = self._find(run_id)
            if known and run is not None and run.state() != "queued":
                return run
            waits = queue and self._db is not None and self._at_work_on(config.device) is not None
            if not waits:
                self.refuse_if_busy(config)
            if self._db is not None and request_id is not None and not known:
                self._db.remember_request(request_id, run_id, config.digest())
            run = run or self._create(config, run_id, acknowledged)
            if waits and self._db is not None:
                self._db.enqueue(run_id)
            else:
                self._spawn(run, config)
            if self._db is not None and request_id is not None:
                self._db.mark_started(request_id)
            return run

    def claim(self, config: RunConfig, *, acknowledged: Sequence[str] = ()) -> RunFolder:
        """Make a run's folder for this very process (`opd train`), under the same rules.

        Raises:
            BusyError: a run is at work on this device.
            TermsNotAcceptedError: a notice was not accepted.
        """
        require_accepted(config, acknowledged)
        with self._gate():
            self.refuse_if_busy(config)
            run = self._create(config, new_run_id(), acknowledged)
            run.record_process(os.getpid())
            return run

    def reclaim(self, run_id: str) -> RunFolder:
        """Take an existing run over into this very process (`opd train --resume`).

        Raises:
            BusyError, InputError, NotFoundError: as `resume`.
        """
        with self._gate():
            run, _ = self._resumable(run_id)
            run.clear_marks()
            run.record_process(os.getpid())
            return run

    def resume(self, run_id: str, *, acknowledged: Sequence[str] = (), fix: int | None = None) -> RunFolder:
        """Start a new process on an existing folder; it goes on from the newest checkpoint that verifies.

        Args:
            fix: which of the changes that its failure offers to make first, counted from 1; the run is then continued
                with other settings, and says so.

        Raises:
            NotFoundError: there is no such run.
            BusyError: it is at work, or another run is on this device.
            InputError: it is done, or there is no such fix.
        """
        with self._gate():
            run, config = self._resumable(run_id)
            require_accepted(config, [*run.accepted(), *acknowledged])
            if fix is not None:
                config = amend(run, _fix_of(run, fix).change)
            run.accept(acknowledged)
            run.clear_marks()
            self._spawn(run, config)
            return run

    def stop(self, run_id: str, mode: StopMode) -> RunFolder:
        """Ask a run to end after its current step; nothing happens to one that has ended.

        One that waits in the queue leaves it. One that hangs, and was asked to discard some seconds ago already, is
        ended at the second time of asking.

        Raises:
            NotFoundError: there is no such run.
        """
        run = self._store.get(run_id)
        if run.state() == "queued":
            with self._gate():
                if run.state() == "queued":
                    run.end("stopped", step=0)
        if run.state() in ACTIVE:
            asked_s = run.stop_requested_for_s()
            if mode == "discard" == run.stop_requested() and asked_s > _PATIENCE_S:
                _kill(run)
            elif mode != run.stop_requested():
                run.request_stop(mode)
        return run

    def refuse_if_busy(self, config: RunConfig) -> None:
        """Let nothing else compute where a run is at work.

        Raises:
            BusyError: one is at work on this device; `details.run_id` names it.
        """
        run = self._at_work_on(config.device)
        if run is not None:
            raise BusyError(
                f"Run {run.run_id} is at work on this device.",
                hint="Wait until it has ended, or stop it (it can be resumed later).",
                details={"run_id": run.run_id},
            )

    def start_queued(self) -> list[RunFolder]:
        """Start the runs whose turn it is: the first of the queue for every device that is free.

        A run that cannot be started is marked as failed, and the next one has its turn.

        Returns:
            The runs that were started.
        """
        started: list[RunFolder] = []
        waiting: list[str] = []
        for run_id in self._db.queued() if self._db is not None else []:
            with self._gate():
                run = self._find(run_id)
                if run is None or run.state() != "queued":
                    self._leave_queue(run_id)
                    continue
                try:
                    config = run.config()
                    behind = any(devices_clash(config.device, device) for device in waiting)
                    if behind or self._at_work_on(config.device) is not None:
                        waiting.append(config.device)
                        continue
                    self._spawn(run, config)
                    started.append(run)
                except (InputError, StorageError) as error:
                    failure = RunFailure(code=error.code, message=error.message, hint=error.hint)
                    run.end("failed", step=0, error=failure)
                self._leave_queue(run_id)
        return started

    def delete(self, run_id: str) -> None:
        """Remove a run's folder for good.

        Raises:
            NotFoundError: there is no such run.
            BusyError: it is at work.
        """
        with self._gate():
            self._store.delete(run_id)

    # --- inside the gate --------------------------------------------------------------------------

    @contextlib.contextmanager
    def _gate(self) -> Iterator[None]:
        self._store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with self._threads, FileLock(self._store.root / "start.lock", timeout=_GATE_TIMEOUT_S):
                yield
        except Timeout:
            raise BusyError(
                f"Another start has been under way for {_GATE_TIMEOUT_S} seconds.", hint="Try again in a moment."
            ) from None

    def _run_id_for(self, request_id: str | None, config: RunConfig) -> tuple[str, bool]:
        known = self._db.request(request_id) if self._db is not None and request_id is not None else None
        if known is None:
            return new_run_id(), False
        if known.digest != config.digest():
            raise InputError(
                "This request id was used before, for another configuration.",
                hint="Use a new request id for each start.",
                details={"run_id": known.run_id},
            )
        if known.started and self._find(known.run_id) is None:
            raise NotFoundError(
                f"The run of this request, {known.run_id}, was deleted.", hint="Start again with a new request id."
            )
        return known.run_id, True

    def _find(self, run_id: str) -> RunFolder | None:
        try:
            return self._store.get(run_id)
        except NotFoundError:
            return None

    def _create(self, config: RunConfig, run_id: str, acknowledged: Sequence[str]) -> RunFolder:
        run = self._store.create(config, run_id)
        run.accept(acknowledged)
        return run

    def _at_work_on(self, device: str) -> RunFolder | None:
        """The run that computes on the device now; one whose configuration cannot be read may be on any."""
        for run in self._store:
            if run.state() in ACTIVE:
                try:
                    clash = devices_clash(device, run.config().device)
                except ConfigError:
                    clash = True
                if clash:
                    return run
        return None

    def _leave_queue(self, run_id: str) -> None:
        if self._db is not None:
            self._db.dequeue(run_id)

    def _resumable(self, run_id: str) -> tuple[RunFolder, RunConfig]:
        run = self._store.get(run_id)
        state = run.state()
        if state in ACTIVE:
            raise BusyError(f"Run {run_id} is at work.", hint="Nothing to do.", details={"run_id": run_id})
        if state not in RESUMABLE and state != "queued":
            raise InputError(f"Run {run_id} is {state}: there is nothing to resume.", hint="Start a new run.")
        config = run.config()
        self.refuse_if_busy(config)
        return run, config

    def _spawn(self, run: RunFolder, config: RunConfig) -> None:
        child = spawn_detached(
            [*PIPELINE, str(run.path)], log=run.log_path, folder=run.path, whose="run", stdin=subprocess.PIPE
        )
        run.record_process(child.pid)
        hand_over_keys(child, self._keys.collect(needed_keys(config)))
        threading.Thread(target=_wait_for, args=(child, run), daemon=True, name=f"wait-{run.run_id}").start()


def _fix_of(run: RunFolder, number: int) -> Fix:
    failure = run.failure()
    fixes = failure.fixes if failure is not None else ()
    if not 1 <= number <= len(fixes):
        offered = f"numbers 1 to {len(fixes)}" if fixes else "none"
        raise InputError(
            f"Run {run.run_id} has no fix {number}; expected {offered}.", hint="`opd runs show` lists what it offers."
        )
    return fixes[number - 1]


def devices_clash(one: str, other: str) -> bool:
    """Whether two runs would compute on the same device; auto may be any."""
    return "auto" in (one, other) or one == other


def _kill(run: RunFolder) -> None:
    """End a process that does not listen, and say that a person did it."""
    pid = run.pid()
    if pid is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.kill()
        process.wait(_PATIENCE_S)
    if run.state() not in ACTIVE and not (run.path / "exit.json").exists():
        run.end("stopped", step=run.summary().step)


def needed_keys(config: RunConfig) -> list[str]:
    """Providers whose key this run's process is given: its teacher's, its judge's, and the model hub's for ids."""
    needed = []
    if isinstance(config.teacher, ServerTeacher):
        needed.append(provider_of_server(config.teacher.dialect, config.teacher.base_url))
    asked: list[ChatModel] = [config.teacher] if isinstance(config.teacher, ChatTeacher) else []
    if config.evaluation.judge.model:
        asked.append(config.evaluation.judge)
    if asked:
        from opd.teachers.chat.endpoints import endpoint_of  # brings an HTTP client: only for whom it is needed

        for model in asked:
            with contextlib.suppress(ConfigError):  # the run says what is wrong with the id
                needed.append(endpoint_of(model).key_name)
    models = [config.student.model, *([config.teacher.model] if config.teacher.type == "local" else [])]
    if any(not os.path.exists(model) for model in models):
        needed.append("huggingface")
    return [provider for provider in dict.fromkeys(needed) if provider in VARIABLES]


def _wait_for(child: subprocess.Popen[bytes], run: RunFolder) -> None:
    """Reap the child, and keep how it ended where it could not say so itself."""
    returncode = child.wait()
    if run.path.is_dir() and not (run.path / "exit.json").exists():
        with contextlib.suppress(OSError):  # the folder may be deleted in this moment
            run.record_death(child.pid, returncode)
