"""What a trial may use: the seed, a folder for what it makes, a teacher behind HTTP.

A laboratory is opened twice for a trial: on paper first, to know the configuration and so whether its result is kept
already (addresses are placeholders then, nothing is started), and for real when it is not.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from opd.errors import RunFailedError

PAPER_ADDRESS = "http://127.0.0.1:1/v1"


class Lab:
    """One trial's surroundings. Use as a context manager: servers end with it.

    Args:
        seed: the trial's seed.
        folder: kept between trials; for models that a recipe makes on demand.
        on_paper: start nothing.
    """

    def __init__(self, seed: int, folder: Path, *, on_paper: bool):
        self.seed, self.folder, self.on_paper = seed, folder, on_paper
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def serve(self, model: Path, *, name: str = "teacher") -> str:
        """Address (…/v1) of `opd serve` with this model, in a process of its own.

        Raises:
            RunFailedError: it did not start.
        """
        if self.on_paper:
            return PAPER_ADDRESS
        log = self._open.enter_context((self.folder / "serve.log").open("ab"))
        command = [sys.executable, "-P", "-m", "opd.cli", "serve", str(model), "--port", "0", "--name", name]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True)
        self._open.callback(_end, server)
        assert server.stdout is not None  # noqa: S101 - a pipe was asked for
        address = server.stdout.readline().strip()
        if not address.startswith("http"):
            raise RunFailedError(
                f"`opd serve {model}` did not start.", hint=f"Its messages are in {self.folder / 'serve.log'}."
            )
        return address


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    server.communicate()
