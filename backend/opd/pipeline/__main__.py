"""`python -m opd.pipeline RUN_DIR`: one run in this process. Keys of paid teachers come on stdin, as one JSON line."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from pathlib import Path

# Before any library is imported: no telemetry, no experimental banners, no thread pool that forks would lock up.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def main() -> int:
    """Run or resume the folder in argv[1]; the exit code tells how it ended (see opd.errors)."""
    faulthandler.enable()  # a crash inside a library leaves its traceback in the run's log
    from opd.pipeline.run import run_folder
    from opd.store.runs import RunFolder

    if len(sys.argv) != 2:
        print("usage: python -m opd.pipeline RUN_DIR", file=sys.stderr)
        return 2
    line = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.readline()
    keys = json.loads(line) if line.strip() else {}
    return run_folder(RunFolder(Path(sys.argv[1]).resolve()), keys=keys, take_signals=True)


if __name__ == "__main__":
    sys.exit(main())
