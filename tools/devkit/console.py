"""Shows long work step by step: one line each, its duration, and the end of its output if it fails.

In: commands as lists. Out: lines on stdout, complete output in `.cache/logs/`. Knows nothing of what the
commands are for.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from devkit.paths import CACHE, ROOT

TAIL_LINES = 30
HEARTBEAT_S = 30.0

# What pip says about folders it was configured to look into; true, harmless, and hundreds of lines long.
_NOISE = re.compile(r"Location '.*' is ignored|^\s*$")


class StepFailedError(Exception):
    """A step did not succeed; the message is complete and meant for a person."""


def say(text: str = "") -> None:
    """Prints one line at once; characters the terminal cannot show are replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def skipped(label: str) -> None:
    """Reports a step whose inputs have not changed."""
    say(f"  {label}: up to date")


def step(
    label: str,
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    hint: str = "",
) -> str:
    """Runs one command quietly and returns its output.

    Raises:
        StepFailedError: it did not start or exited with another code than 0; shows the last lines and `hint`.
    """
    started = time.monotonic()
    log = CACHE / "logs" / (re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"  {label} ...", end="", flush=True)
    try:
        code = _run_to_file([str(part) for part in command], log, env, cwd)
    except OSError as error:
        say(" FAILED")
        raise StepFailedError(f"{label}: {command[0]} could not be started: {error}\n{hint}".rstrip()) from error
    seconds = time.monotonic() - started
    output = readable(log.read_text("utf-8", "replace"))
    if code != 0:
        say(f" FAILED after {duration(seconds)}")
        tail = "\n".join("    " + line for line in output.splitlines()[-TAIL_LINES:])
        shown = log.relative_to(ROOT)
        raise StepFailedError(
            f"{label}: `{_abbreviated(command)}` exited with {code}. "
            f"The last lines (all of it: {shown}):\n{tail}\n{hint}".rstrip()
        )
    say(f" ok, {duration(seconds)}")
    return output


def foreground(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> int:
    """Runs a command that owns the terminal and returns its exit code; Ctrl-C is the command's to handle."""
    process = subprocess.Popen([str(part) for part in command], env=env, cwd=cwd)
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal sent the same signal to the child, which may be saving: a second Ctrl-C ends it.
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            return process.wait()


def readable(output: str) -> str:
    """The output without lines that only hide what matters."""
    return "\n".join(line for line in output.splitlines() if not _NOISE.search(line))


def duration(seconds: float) -> str:
    """Seconds as a person says them: `0.4 s`, `12 s`, `3 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def _run_to_file(command: list[str], log: Path, env: Mapping[str, str] | None, cwd: Path) -> int:
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=env, cwd=cwd
        )
        try:
            while True:
                try:
                    return process.wait(timeout=HEARTBEAT_S)
                except subprocess.TimeoutExpired:
                    print(".", end="", flush=True)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def _abbreviated(command: Sequence[str | Path]) -> str:
    words = [str(part) for part in command]
    words[0] = os.path.basename(words[0])
    text = " ".join(words)
    return text if len(text) <= 100 else text[:97] + "..."
