"""The report as Markdown (GitHub flavour): the same facts without the charts' pictures.

In: a `Report`. Out: Markdown text. Texts of models and files stand in fences that they cannot close; in tables and
sentences their markup is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import yaml

from opd.evaluation import report_format as words
from opd.evaluation.report_model import ComparedPrompt, Report

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&!])")


def render_markdown(report: Report) -> str:
    """The document. Deterministic: equal reports give equal bytes."""
    parts = [
        f"# {escape(report.name or report.run_id)}",
        _header(report),
        *_verdict(report),
        *_evaluations(report),
        *_training(report),
        *_samples(report),
        *_alarms(report),
        *_costs(report),
        *_repeat(report),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Text on one line with nothing that Markdown or HTML would read as markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def fenced(text: str, language: str = "text") -> str:
    """Text in a code block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _header(report: Report) -> str:
    facts = [f"Run `{report.run_id}`", report.started or "", escape(report.device)]
    signal = f" ({escape(report.signal)})" if report.signal else ""
    student, teacher = (escape(words.model_name(model)) for model in (report.student, report.teacher))
    return (
        f"{' · '.join(fact for fact in facts if fact)}\n\nStudent {student}, teacher {teacher}{signal}. "
        f"{report.num_prompts:,} training prompts, {report.num_test_prompts:,} held out. {escape(words.course(report))}"
    )


def _verdict(report: Report) -> list[str]:
    verdict = report.verdict
    if verdict is None:
        return ["**No verdict: the run did not come to its end.**"]
    advice = "" if verdict.conclusion == "not_measured" else words.RECOMMENDATIONS[verdict.recommended]
    return [f"**{escape(verdict.headline)}**", advice, "\n".join(f"- {escape(note)}" for note in verdict.notes)]


def _evaluations(report: Report) -> list[str]:
    if not report.evaluations:
        return []
    rows = [
        [
            name,
            *(
                f"{words.value(metric, m.mean)} ({words.interval(metric, m)})" if (m := e.metrics.get(metric)) else "–"
                for e in report.evaluations
            ),
        ]
        for metric, name in words.METRIC_NAMES.items()
        if any(metric in e.metrics for e in report.evaluations)
    ]
    head = ["Held-out prompts", *(words.SUBJECT_NAMES[e.subject] for e in report.evaluations)]
    parts = ["## What was measured", _table(head, rows), "Means with 95 % intervals by prompt."]
    if report.verdict and report.verdict.lines:
        lines = [
            [
                words.METRIC_NAMES.get(line.metric, escape(line.metric)),
                words.SUBJECT_NAMES[line.baseline].lower(),
                words.difference(line.metric, line.difference),
                words.CONCLUSION_NAMES[line.conclusion].lower(),
            ]
            for line in report.verdict.lines
        ]
        parts.append(_table(["After training", "against", "difference on the same prompts", "conclusion"], lines))
    if moved := report.transitions:
        parts.append(
            f"From before to after: {moved.became_right} prompts became right, {moved.became_wrong} became wrong, "
            f"{moved.stayed_right} stayed right, {moved.stayed_wrong} stayed wrong."
        )
    return parts


def _training(report: Report) -> list[str]:
    rows = []
    for name, title, unit in words.CHARTS:
        known = [
            p for p in report.series.get(name, []) if p.mean is not None and p.low is not None and p.high is not None
        ]
        if known:
            lows, highs = [p.low for p in known if p.low is not None], [p.high for p in known if p.high is not None]
            values = (known[0].mean or 0.0, known[-1].mean or 0.0, min(lows), max(highs))
            rows.append([f"{title} ({unit})" if unit else title, *(words.decimal(number) for number in values)])
    if not rows:
        return []
    return ["## How the training went", _table(["Metric", "first", "last", "lowest", "highest"], rows)]


def _samples(report: Report) -> list[str]:
    parts = []
    for title, shown in (
        ("Best: became right", report.samples.best),
        ("Worst: became or stayed wrong", report.samples.worst),
        ("Drawn at random", report.samples.random),
    ):
        if shown:
            parts += [f"### {title}", *(_compared(prompt) for prompt in shown)]
    return ["## Answers to read", *parts] if parts else []


def _compared(prompt: ComparedPrompt) -> str:
    expected = f" (expected: {escape(prompt.expected)})" if prompt.expected else ""
    parts = [f"**{escape(prompt.question)}**{expected}"]
    for subject, answer in prompt.answers.items():
        mark = {True: ", right", False: ", wrong", None: ""}[answer.correct]
        cut = ", cut off" if answer.truncated else ""
        parts.append(
            f"{words.SUBJECT_NAMES[subject]}{mark}, {answer.num_tokens:,} tokens{cut}:\n\n{fenced(answer.text)}"
        )
    return "\n\n".join(parts)


def _alarms(report: Report) -> list[str]:
    items = [f"- Step {a.step:,}: {escape(f'{a.what} {a.why} {a.advice}')}" for a in report.alarms]
    return ["## Alarms", "\n".join(items) or "None was raised."]


def _costs(report: Report) -> list[str]:
    costs = report.costs
    rows = [[words.PHASE_NAMES.get(p.phase, p.phase), words.duration(p.seconds)] for p in costs.phases]
    rows.append(["All phases", words.duration(costs.seconds)])
    if costs.num_tokens is not None:
        rows.append(["Completion tokens trained on", f"{costs.num_tokens:,}"])
    rows.append(["Spent on the teacher", words.dollars(costs.spent_usd).replace("$", "\\$")])
    return ["## Time and money", _table(["", ""], rows)]


def _repeat(report: Report) -> list[str]:
    rows = [["Configuration", report.config_digest], ["Prompts", report.data_digest or "not recorded"]]
    rows += [[escape(name), escape(version)] for name, version in report.versions.items()]
    config = yaml.safe_dump(report.config, sort_keys=False, allow_unicode=True)
    return [
        "## How to repeat it",
        fenced("\n".join(report.repeat), "sh"),
        _table(["", ""], rows),
        fenced(config, "yaml"),
    ]
