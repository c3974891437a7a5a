"""The report as one HTML page: styles and charts inside, no script, no request; made for the screen and for paper.

In: a `Report`. Out: HTML text. Everything that a model, a file or a person wrote is escaped and framed as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

import yaml

from opd.evaluation import report_format as words
from opd.evaluation.report_charts import interval_chart, line_chart
from opd.evaluation.report_model import ComparedPrompt, PromptResult, Report, ShownAnswer
from opd.events import EvaluationFinished, VerdictReached

_MAX_SHOWN_CHARS = 3000
_SYMBOLS = {"better": "▲", "no_significant_change": "●", "worse": "▼", "not_measured": "?"}
_MARKS = {True: '<span class="right">✓ right</span>', False: '<span class="wrong">✗ wrong</span>', None: ""}


def render_html(report: Report) -> str:
    """The page. Deterministic: equal reports give equal bytes."""
    style = files("opd.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    title = escape(f"{report.name or report.run_id}: report")
    body = "".join(
        (
            _header(report),
            _verdict(report.verdict),
            _section("What was measured", _evaluations(report)),
            _section("How the training went", _charts(report)),
            _section("Answers to read", _samples(report)),
            _section("While it learned", _live(report)),
            _section("Alarms", _alarms(report)),
            _section("Time and money", _costs(report)),
            _section("How to repeat it", _repeat(report)),
            _section("Every held-out prompt", _prompt_table(report.prompts), "every"),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _section(title: str, content: str, name: str = "") -> str:
    if not content:
        return ""
    return f'<section class="{name}">\n<h2>{escape(title)}</h2>\n{content}</section>\n'


def _header(report: Report) -> str:
    facts = [
        f"Run {report.run_id}",
        report.started or "",
        report.device,
        f"OPD Studio {report.versions.get('opd-studio', '')}",
    ]
    student, teacher = (escape(words.model_name(model)) for model in (report.student, report.teacher))
    return (
        f"<header>\n<h1>{escape(report.name or report.run_id)}</h1>\n"
        f'<p class="quiet">{escape(" · ".join(fact for fact in facts if fact.strip()))}</p>\n'
        f"<p>Student <b>{student}</b>, teacher <b>{teacher}</b>"
        f"{escape(f' ({report.signal})' if report.signal else '')}. {report.num_prompts:,} training prompts, "
        f"{report.num_test_prompts:,} held out. {escape(words.course(report))}</p>\n</header>\n"
    )


def _verdict(verdict: VerdictReached | None) -> str:
    if verdict is None:
        missing = "No verdict: the run did not come to its end."
        return f'<div class="verdict not_measured"><p class="headline">{missing}</p></div>\n'
    notes = "".join(f"<li>{escape(note)}</li>" for note in verdict.notes)
    advice = (
        "" if verdict.conclusion == "not_measured" else f"<p>{escape(words.RECOMMENDATIONS[verdict.recommended])}</p>"
    )
    return (
        f'<div class="verdict {verdict.conclusion}">\n<p class="headline"><span class="symbol" aria-hidden="true">'
        f"{_SYMBOLS[verdict.conclusion]}</span> {escape(verdict.headline)}</p>\n{advice}\n"
        f"{f'<ul>{notes}</ul>' if notes else ''}\n</div>\n"
    )


def _evaluations(report: Report) -> str:
    found = {evaluation.subject: evaluation for evaluation in report.evaluations}
    if not found:
        return ""
    charts = "".join(
        interval_chart(title, unit, rows, label)
        for metric, title, unit, label in (
            ("exact_match", "Right answers", "95 % intervals", lambda v: words.value("exact_match", v)),
            ("reverse_kl", "Reverse KL", "nats per token, 95 % intervals", lambda v: f"{v:.2f}"),
        )
        if (rows := [(s, words.SUBJECT_NAMES[s], e.metrics[metric]) for s, e in found.items() if metric in e.metrics])
    )
    tables = f"{_metric_table(list(found.values()))}{_lines(report.verdict)}{_moves(report)}"
    return f'<div class="charts">{charts}</div>\n{tables}'


def _metric_table(evaluations: Sequence[EvaluationFinished]) -> str:
    head = "".join(f"<th>{words.SUBJECT_NAMES[e.subject]}</th>" for e in evaluations)
    rows = []
    for metric, name in words.METRIC_NAMES.items():
        if not any(metric in e.metrics for e in evaluations):
            continue
        cells = "".join(
            f"<td>{escape(words.value(metric, m.mean))}<small>{escape(words.interval(metric, m))}</small></td>"
            if (m := e.metrics.get(metric))
            else "<td>–</td>"
            for e in evaluations
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>\n")
    nums = {m.num for e in evaluations for m in e.metrics.values()}
    spread = f"{min(nums):,}" if len(nums) == 1 else f"{min(nums):,} to {max(nums):,}"
    return (
        f"<table><thead><tr><th>Held-out prompts</th>{head}</tr></thead>\n<tbody>{''.join(rows)}</tbody></table>\n"
        f'<p class="quiet">Means over {spread} prompts with 95 % intervals by prompt. Answers are greedy; KL and NLL '
        "are of samples at temperature 1; a lower KL is nearer to the teacher.</p>\n"
    )


def _lines(verdict: VerdictReached | None) -> str:
    if verdict is None or not verdict.lines:
        return ""
    rows = "".join(
        f"<tr><th>{escape(words.METRIC_NAMES.get(line.metric, line.metric))}</th>"
        f"<td>{escape(words.SUBJECT_NAMES[line.baseline].lower())}</td>"
        f"<td>{escape(words.difference(line.metric, line.difference))}</td>"
        f"<td>{_SYMBOLS[line.conclusion]} {escape(words.CONCLUSION_NAMES[line.conclusion].lower())}</td></tr>\n"
        for line in verdict.lines
    )
    head = "<th>After training</th><th>against</th><th>difference on the same prompts</th><th></th>"
    table = f'<table class="compared"><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>\n'
    return f"<h3>Compared prompt by prompt</h3>\n{table}"


def _moves(report: Report) -> str:
    moved = report.transitions
    if moved is None:
        return ""
    return (
        f"<p>From before to after: <b>{moved.became_right}</b> prompts became right, <b>{moved.became_wrong}</b> "
        f"became wrong, {moved.stayed_right} stayed right, {moved.stayed_wrong} stayed wrong.</p>\n"
    )


def _charts(report: Report) -> str:
    charts = "".join(line_chart(title, unit, report.series.get(name, [])) for name, title, unit in words.CHARTS)
    if not charts:
        return ""
    return (
        '<p class="quiet">Lines are means, bands reach from the smallest to the largest value. Accuracy of on-policy '
        "distillation often dips before it rises; falling KL alone is no success.</p>\n"
        f'<div class="charts">{charts}</div>\n'
    )


def _samples(report: Report) -> str:
    parts = []
    for title, shown in (
        ("Best: became right", report.samples.best),
        ("Worst: became or stayed wrong", report.samples.worst),
        ("Drawn at random", report.samples.random),
    ):
        if shown:
            parts.append(f"<h3>{escape(title)}</h3>\n{''.join(_compared(prompt) for prompt in shown)}")
    return "".join(parts)


def _compared(prompt: ComparedPrompt) -> str:
    expected = f'<p class="quiet">Expected: <code>{escape(prompt.expected)}</code></p>' if prompt.expected else ""
    answers = "".join(
        f"<div><h4>{words.SUBJECT_NAMES[subject]} {_MARKS[answer.correct]}</h4>{_answer(answer)}</div>"
        for subject, answer in prompt.answers.items()
    )
    question = f'<p class="question">{_shown(prompt.question)}</p>'
    return f'<article>{question}{expected}<div class="answers">{answers}</div></article>\n'


def _answer(answer: ShownAnswer) -> str:
    cut = ", cut off" if answer.truncated else ""
    return f"<pre>{_shown(answer.text)}</pre><small>{answer.num_tokens:,} tokens{cut}</small>"


def _shown(text: str) -> str:
    if len(text) <= _MAX_SHOWN_CHARS:
        return escape(text)
    return f"{escape(text[:_MAX_SHOWN_CHARS])}… ({len(text) - _MAX_SHOWN_CHARS:,} more characters in report.json)"


def _live(report: Report) -> str:
    parts = []
    for first, samples in words.live_by_prompt(report.samples.live):
        rows = "".join(
            f"<tr><td>{'teacher' if s.author == 'teacher' else f'{s.author}, step {s.step:,}'}</td>"
            f"<td><pre>{_shown(s.text)}</pre></td><td>{_MARKS[s.correct]}</td></tr>\n"
            for s in samples
        )
        expected = (
            f' <span class="quiet">Expected: <code>{escape(first.expected)}</code></span>' if first.expected else ""
        )
        question = f'<p class="question">{_shown(first.prompt)}{expected}</p>'
        parts.append(f'{question}\n<table class="live"><tbody>{rows}</tbody></table>\n')
    return "".join(parts)


def _alarms(report: Report) -> str:
    items = "".join(
        f"<li><b>Step {alarm.step:,}: {escape(alarm.what)}</b> {escape(alarm.why)} {escape(alarm.advice)}</li>\n"
        for alarm in report.alarms
    )
    return f"<ul>{items}</ul>\n" if items else "<p>None was raised.</p>\n"


def _costs(report: Report) -> str:
    costs = report.costs
    rows = [(words.PHASE_NAMES.get(phase.phase, phase.phase), words.duration(phase.seconds)) for phase in costs.phases]
    rows.append(("All phases", words.duration(costs.seconds)))
    if costs.num_tokens is not None:
        rows.append(("Completion tokens trained on", f"{costs.num_tokens:,}"))
    rows.append(("Spent on the teacher", words.dollars(costs.spent_usd)))
    if costs.num_paid_calls:
        rows.append(("Paid calls", f"{costs.num_paid_calls:,}"))
        rows.append(("Saved by the cache", words.dollars(costs.saved_by_cache_usd)))
    return _facts(rows)


def _repeat(report: Report) -> str:
    versions = [(name, version) for name, version in report.versions.items()]
    digests = [("Configuration", report.config_digest), ("Prompts", report.data_digest or "not recorded")]
    config = yaml.safe_dump(report.config, sort_keys=False, allow_unicode=True)
    return (
        f"<pre>{escape(chr(10).join(report.repeat))}</pre>\n{_facts([*digests, *versions])}"
        f"<h3>config.yaml</h3>\n<pre>{escape(config)}</pre>\n"
    )


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>\n" for name, text in rows)
    return f'<table class="facts"><tbody>{cells}</tbody></table>\n'


def _prompt_table(prompts: Sequence[PromptResult]) -> str:
    subjects = [s for s in words.SUBJECT_NAMES if any(s in p.num_tokens for p in prompts)]
    if not subjects:
        return ""
    head = "".join(f"<th>{words.SUBJECT_NAMES[s]}</th>" for s in subjects)
    rows = "".join(
        f"<tr><td>{escape(p.question)}</td>{''.join(f'<td>{_outcome(p, s)}</td>' for s in subjects)}</tr>\n"
        for p in prompts
    )
    return (
        f"<table><thead><tr><th>Prompt</th>{head}</tr></thead>\n<tbody>{rows}</tbody></table>\n"
        '<p class="quiet">✓ right, ✗ wrong, and the answer\'s length in tokens.</p>\n'
    )


def _outcome(prompt: PromptResult, subject: str) -> str:
    if subject not in prompt.num_tokens:
        return "–"
    share, length = prompt.correct.get(subject), f"{prompt.num_tokens[subject]:.0f}"
    if share is None:
        return length
    mark = "✓" if share == 1 else "✗" if share == 0 else f"{share:.0%}"
    name = "right" if share == 1 else "wrong" if share == 0 else ""
    return f'<span class="{name}">{mark}</span> <small>{length}</small>'
