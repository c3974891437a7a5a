"""The probe in a process of its own: whoever asks loads no ML package, and is not held up by one that is broken.

In: a configuration, the key of the teacher's provider, an environment. Out: `ProbeReport`. The key goes over standard
input and nowhere else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from pydantic import ValidationError

from opd.config import RunConfig
from opd.errors import EXIT_UNUSABLE_INPUT, InputError, RunFailedError
from opd.teachers.probe_report import ProbeReport

_PATIENCE_S = 120.0  # a dead server costs two attempts of half a minute; everything else takes seconds


def probe_apart(config: RunConfig, *, key: str | None, environment: Mapping[str, str]) -> ProbeReport:
    """What `opd.teachers.probe.probe` finds out.

    Raises:
        InputError: the configuration cannot be probed; in the probe's words.
        RunFailedError: the process did not come to an answer.
    """
    request = json.dumps({"config": config.model_dump(mode="json"), "key": key})
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "opd.teachers.probe_process"],
            input=request.encode(),
            capture_output=True,
            env=dict(environment),
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunFailedError(
            f"The teacher could not be probed within {_PATIENCE_S:g} s.", hint="Look at the server, then try again."
        ) from None
    if done.returncode == EXIT_UNUSABLE_INPUT:
        refusal = json.loads(done.stdout)
        raise InputError(refusal["message"], hint=refusal["hint"])
    try:
        return ProbeReport.model_validate_json(done.stdout)
    except ValidationError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise RunFailedError(
            f"The probe ended without an answer: {last[0][:300]}",
            hint="Check the installation with `opd doctor`.",
        ) from None
