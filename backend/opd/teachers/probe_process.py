"""`python -m opd.teachers.probe_process`: configuration and key as JSON on standard input, the report as JSON out."""

from __future__ import annotations

import json
import os
import sys

from opd.config import RunConfig
from opd.teachers.probe import probe


def main() -> None:
    """Probe once."""
    request = json.loads(sys.stdin.read())
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not get into the report
    report = probe(RunConfig.model_validate(request["config"]), key=request["key"])
    replies.write(report.model_dump_json())
    replies.close()


if __name__ == "__main__":
    main()
