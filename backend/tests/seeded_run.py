"""A finished run made by hand: real files, real events, numbers drawn from a seed. Its texts are hostile on purpose."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any, Literal

from opd.config import parse_config
from opd.evaluation.results import Evaluation, GradedAnswer, ResultsFile, ScoredSample, results_path
from opd.evaluation.summary import summarize
from opd.evaluation.verdict import reach_verdict
from opd.events import (
    AlarmRaised,
    CheckpointSaved,
    MoneySpent,
    PhaseProgressed,
    PhaseStarted,
    RunFinished,
    RunStarted,
    SampleRecorded,
    StepLogged,
)
from opd.store.events_db import EventWriter
from opd.store.files import write_json
from opd.store.runs import RunFolder, RunStore

Subject = Literal["before", "sft", "after", "teacher"]
HOSTILE = (
    "</pre><script>document.title='owned'</script><img src=x onerror=alert(1)> [link](javascript:alert(1)) | `` ```"
    " ````` ![i](http://127.0.0.1:9/x.png) \u202eevil\u202c \x1b[31m\x00 & $1 = **bold** <b>"
)
LEVELS: dict[Subject, float] = {"before": 0.33, "sft": 0.61, "after": 0.79, "teacher": 0.97}
KL: dict[Subject, float] = {"before": 1.41, "sft": 0.82, "after": 0.22}


def make_run(
    root: Path,
    run_id: str = "seeded",
    *,
    seed: int = 0,
    num_steps: int = 120,
    num_test: int = 200,
    levels: dict[Subject, float] | None = None,
    hostile: bool = True,
    finished: bool = True,
    **changes: Any,
) -> RunFolder:
    """A run folder as the pipeline leaves it; `levels` are the shares of right answers by subject."""
    config = parse_config(
        {
            "name": f"Tiny learns sums <{run_id}>",
            "student": {"model": "models/student"},
            "teacher": {"type": "local", "model": "models/teacher"},
            "data": {"path": "train.jsonl", "test_path": "test.jsonl", "answer_match": "last_number"},
            "max_steps": num_steps,
            "learning_rate": 1e-3,
            "seed": seed,
            **changes,
        }
    )
    run = RunStore(root).create(config, run_id)
    (run.path / "stages").mkdir()
    write_json(run.path / "stages" / "data.json", f"digest-of-{run_id}")
    results = {s: evaluation(s, level, seed, num_test, hostile) for s, level in (levels or LEVELS).items()}
    for subject, found in results.items():
        file = ResultsFile(results_path(run.path, subject), {"seed": seed})
        file.append(found.answers, found.samples)
        file.close()
    writer = run.writer()
    _write_events(writer, config.name, num_steps, num_test, seed, results, hostile)
    if finished:
        writer.append(RunFinished(outcome="done", step=num_steps))
    writer.close()
    return run


def evaluation(subject: Subject, level: float, seed: int, num: int, hostile: bool = False) -> Evaluation:
    rng, ease = random.Random(f"{seed}/{subject}"), random.Random(seed)
    answers, samples = [], []
    for index in range(num):
        a, b = 20 + index % 70, 11 + index % 40
        right = 0.5 * ease.random() + 0.5 * rng.random() < level - 0.25 * (0.5 - level)
        total = a + b if right else a + b - 10
        text = f"{a}+{b}\n{a % 10}+{b % 10}={a % 10 + b % 10}\n={total}"
        answers.append(
            GradedAnswer(
                prompt_id=f"p{index:04}",
                question=f"Segment A earned {a} million and segment B {b} million. What is the total? ({index})",
                expected=str(a + b),
                text=HOSTILE if hostile and index % 50 == 7 else text,
                correct=right,
                num_tokens=18 + rng.randrange(12),
                truncated=rng.random() < 0.01,
                repeated=False,
                refused=False,
            )
        )
        if subject in KL:
            tokens = 15 + rng.randrange(15)
            kl = KL[subject] * math.exp(rng.gauss(-0.08, 0.4)) * tokens
            samples.append(ScoredSample(f"p{index:04}", tokens, kl, kl + 0.2 * tokens, 0.2 * tokens))
    return Evaluation(subject, tuple(answers), tuple(samples))


def _write_events(
    writer: EventWriter,
    name: str,
    num_steps: int,
    num_test: int,
    seed: int,
    results: dict[Subject, Evaluation],
    hostile: bool,
) -> None:
    rng = random.Random(seed)
    writer.append(
        PhaseStarted(phase="loading"),
        RunStarted(
            name=name,
            student="models/student",
            teacher="models/teacher",
            signal="token by token, full distribution",
            max_steps=num_steps,
            num_prompts=119,
            num_test_prompts=num_test,
            versions={"opd-studio": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0"},
        ),
        PhaseStarted(phase="evaluating_before", total=num_test, unit="prompts"),
        summarize("before", results["before"]),
        PhaseStarted(phase="distilling", total=num_steps, unit="steps"),
    )
    for step in range(1, num_steps + 1):
        done = step / num_steps
        kl = (0.2 + 1.2 * math.exp(-5 * done)) * math.exp(rng.gauss(0, 0.2))
        metrics: dict[str, float | None] = {
            "loss": 6.5 if step == 71 else kl,
            "reverse_kl": None if 30 < step < 34 else kl,
            "entropy": 0.1 + 0.3 * math.exp(-4 * done),
            "completion_tokens/mean": 24 + rng.gauss(0, 1),
            "truncated_share": rng.choice([0, 0, 0, 1 / 32]),
            "learning_rate": 1e-3 * (1 - done),
            "num_tokens": 768.0 * step,
            "tokens_per_s": 5000.0,
            "time/step_s": 0.2,
        }
        writer.append(StepLogged(step=step, metrics=metrics))
        if step % 20 == 0 or step == 1:
            writer.append(PhaseProgressed(phase="distilling", done=step, total=num_steps), _sample(step, rng, hostile))
    writer.append(
        CheckpointSaved(step=num_steps, num_bytes=2_400_000, duration_s=0.1),
        AlarmRaised(
            code="kl_spike",
            severity="warning",
            step=71,
            what="The student has suddenly moved away from the teacher.",
            why="Reverse KL is 6.50 nats per token; it was about 0.30 over the steps before.",
            advice="Watch ten more steps.",
        ),
        MoneySpent(spent_nano_usd=420_000_000, held_nano_usd=0, saved_by_cache_nano_usd=90_000_000, num_calls=119),
        PhaseStarted(phase="evaluating_after", total=num_test, unit="prompts"),
        *[summarize(subject, found) for subject, found in results.items() if subject != "before"],
        PhaseStarted(phase="finalizing"),
        reach_verdict(results),
    )


def _sample(step: int, rng: random.Random, hostile: bool) -> SampleRecorded:
    right = rng.random() < step / 120
    return SampleRecorded(
        step=step,
        author="student",
        prompt_id="p0000",
        prompt="Segment A earned 20 million and segment B 11 million. What is the total?",
        text=HOSTILE if hostile and step == 60 else f"20+11\n0+1=1\n={31 if right else 21}",
        expected="31",
        correct=right,
    )
