"""`python -m opd.teachers.probe_process`: configuration and key as JSON on standard input, the report as JSON out."""

from __future__ import annotations

import json
import os
import sys

from opd.config import RunConfig
from opd.errors import EXIT_UNUSABLE_INPUT, InputError
from opd.teachers.probe import probe


def main() -> int:
    """Probe once; the exit code says whether it could be done (see opd.errors)."""
    request = json.loads(sys.stdin.read())
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not get into the report
    with replies:
        try:
            report = probe(RunConfig.model_validate(request["config"]), key=request["key"])
        except InputError as error:
            replies.write(json.dumps(error.as_dict()))
            return EXIT_UNUSABLE_INPUT
        replies.write(report.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
