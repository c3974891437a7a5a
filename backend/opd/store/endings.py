"""Words for runs whose process could not say how it ended: killed, crashed, gone.

In: what its parent saw of it, or else the end of its log. Out: a failure with a cause and a next step.
"""

from __future__ import annotations

import signal

from opd.events import RunFailure


def explain_death(returncode: int) -> RunFailure:
    """Words for a process that left no exit record. A negative code is the number of the signal that killed it."""
    if returncode in (-9, 137):
        return RunFailure(
            code="process_killed",
            message="The run's process was killed from outside (SIGKILL), most often because memory ran out.",
            hint="Resume it: nothing since the last checkpoint counts. If it happens again, lower micro_batch_size "
            "or max_completion_tokens, or close other programs.",
        )
    if returncode < 0:
        name = signal.Signals(-returncode).name if -returncode in set(signal.Signals) else f"signal {-returncode}"
        return RunFailure(
            code="process_crashed",
            message=f"The run's process was ended by {name} without a word.",
            hint="Resume it from its last checkpoint. The end of log.txt in the run's folder may say more.",
        )
    return RunFailure(
        code="process_vanished",
        message=f"The run's process ended with code {returncode} before it could record why.",
        hint="See the end of log.txt in the run's folder, then resume the run.",
    )


def guess_death(log_tail: str) -> RunFailure:
    """Words for a process whose end nobody saw: the studio that started it was gone, or there was none."""
    crash = next((line for line in log_tail.splitlines() if line.startswith("Fatal Python error:")), None)
    if crash is not None:
        return RunFailure(
            code="process_crashed",
            message=f"The run's process crashed inside a library. Its log says: {crash.strip()[:200]}",
            hint="Resume it from its last checkpoint. The end of log.txt in the run's folder says where.",
        )
    return RunFailure(
        code="process_vanished",
        message="The run's process ended without a word, and nobody was there to see how. Most often the system "
        "killed it because memory ran out, or the machine was switched off.",
        hint="Resume it: nothing since the last checkpoint counts. If it happens again, lower micro_batch_size or "
        "max_completion_tokens, or close other programs.",
    )
