"""The project's one door for people who work on it: set up, demo, studio, test, check.

Needs nothing but a Python; `make X` calls `python3 tools/dev.py X`. This file only makes sure that a
Python the rest can run on is running, so it keeps to syntax that older Pythons also read.
"""

from __future__ import annotations

import subprocess
import sys

from devkit import interpreters


def main() -> int:
    if sys.version_info < interpreters.OLDEST:
        found = interpreters.find()
        if isinstance(found, str):
            print(found, file=sys.stderr)
            return 1
        return subprocess.call([found.executable, *sys.argv])
    from devkit import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
