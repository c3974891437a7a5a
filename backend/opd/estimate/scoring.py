"""What a paid scoring server will be asked: the student's own text at every step and measurement, and its own answers.

In: a configuration, its prompts, lengths. Out: `PlannedCalls`. Scored rows depend on the student of that step, so no
earlier run has paid for them.
"""

from __future__ import annotations

from opd.config import RunConfig
from opd.estimate.calls import PlannedCalls, Prompts
from opd.estimate.habits import Range
from opd.estimate.lengths import Lengths

MEASURED = 100  # held-out prompts that are scored at each measurement, at most


def scoring_calls(config: RunConfig, prompts: Prompts, lengths: Lengths) -> list[PlannedCalls]:
    """Rows of prompt and completion in, one token out; and what the teacher writes itself, where the run wants that."""
    rows = config.max_steps * config.batch_size * config.on_policy_fraction
    trained_apart = config.baseline.enabled
    measured = float(min(len(prompts.test), MEASURED) * (2 + trained_apart)) if config.evaluation.enabled else 0.0
    writes = config.on_policy_fraction < 1 or trained_apart or bool(config.warm_start.steps)
    sent = Range(lengths.prompt + 0.2 * lengths.longest_completion, lengths.prompt + lengths.completion,
                 lengths.longest_prompt + lengths.longest_completion)  # fmt: skip
    likely = float(sent.likely)
    spread = Range(sent.low / likely, 1.0, sent.high / likely)
    one = Range(1, 1, 1)
    written = Range(0.1 * lengths.longest_completion, lengths.completion, lengths.longest_completion)
    asked = (float(lengths.prompt),)
    question = Range(0.7, 1.0, max(1.6, lengths.longest_prompt / lengths.prompt))
    num = float(len(prompts.train)) if writes else 0.0
    calls = [
        PlannedCalls("answers", "answers to training prompts", Range(num, num, num), asked, question, written),
        PlannedCalls("scoring", "rows of the student's text scored", Range(rows, rows, rows), (likely,), spread, one),
        PlannedCalls("scoring", "held-out answers scored", Range(0, measured, 1.1 * measured), (likely,), spread, one),
    ]
    return [call for call in calls if call.num.high]
