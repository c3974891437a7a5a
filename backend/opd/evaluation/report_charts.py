"""Charts as inline SVG: no script, no font, no request; they print as they look.

In: points or intervals. Out: `<svg>` text. Coordinates are rounded, so equal data give equal text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from opd.evaluation.report_model import SeriesPoint
from opd.events import Interval

_WIDTH, _HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 26, 30
_ROW = 26
# Names of the page's style: its colours differ between light, dark and paper.
COLOURS = {subject: f"var(--{subject})" for subject in ("before", "sft", "after", "teacher")}
_SERIES = COLOURS["after"]


def line_chart(title: str, unit: str, points: Sequence[SeriesPoint]) -> str:
    """A metric over steps: the mean as a line, minimum to maximum of what each point stands for as a band.

    Missing values are gaps. Empty text where there is nothing to draw.
    """
    known = [p for p in points if p.mean is not None and p.low is not None and p.high is not None]
    if not known:
        return ""
    lows, highs = [p.low for p in known if p.low is not None], [p.high for p in known if p.high is not None]
    ticks = nice_ticks(min(0.0, *lows), max(highs))
    x = _scale(points[0].first_step, max(points[-1].last_step, points[0].first_step + 1), _LEFT, _WIDTH - _RIGHT)
    y = _scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    parts = [_grid(ticks, y), _step_axis(points[0].first_step, points[-1].last_step, x)]
    for piece in _pieces(points):
        middles = [x((p.first_step + p.last_step) / 2) for p in piece]
        above = [f"{a:.1f},{y(p.high or 0.0):.1f}" for a, p in zip(middles, piece, strict=True)]
        below = [f"{a:.1f},{y(p.low or 0.0):.1f}" for a, p in zip(middles, piece, strict=True)]
        line = " ".join(f"{a:.1f},{y(p.mean or 0.0):.1f}" for a, p in zip(middles, piece, strict=True))
        parts.append(f'<polygon points="{" ".join([*above, *reversed(below)])}" fill="{_SERIES}" fill-opacity="0.18"/>')
        parts.append(f'<polyline points="{line}" fill="none" stroke="{_SERIES}" stroke-width="1.4"/>')
        if len(piece) == 1:
            parts.append(f'<circle cx="{middles[0]:.1f}" cy="{y(piece[0].mean or 0.0):.1f}" r="2" fill="{_SERIES}"/>')
    first, last = known[0].mean, known[-1].mean
    told = f"{title}: from {first:.3g} at step {known[0].first_step} to {last:.3g} at step {known[-1].last_step}."
    return _svg(_HEIGHT, title, unit, told, parts)


def interval_chart(
    title: str, unit: str, rows: Sequence[tuple[str, str, Interval]], label: Callable[[float], str]
) -> str:
    """Means with their 95 % intervals, one row a subject: (key of COLOURS, name, interval)."""
    if not rows:
        return ""
    height = _TOP + _BOTTOM + _ROW * len(rows)
    ticks = nice_ticks(0.0, max(found.high for _, _, found in rows))
    left = 84
    x = _scale(ticks[0], ticks[-1], left, _WIDTH - 60)
    parts = []
    for tick in ticks:
        at = f"{x(tick):.1f}"
        parts.append(f'<line x1="{at}" x2="{at}" y1="{_TOP}" y2="{height - _BOTTOM}" stroke="var(--line)"/>')
        parts.append(_text(x(tick), height - _BOTTOM + 14, label(tick), anchor="middle"))
    for index, (key, name, found) in enumerate(rows):
        middle = _TOP + _ROW * (index + 0.5)
        colour = COLOURS[key]
        parts.append(_text(left - 8, middle + 4, name, anchor="end"))
        parts.append(
            f'<line x1="{x(found.low):.1f}" x2="{x(found.high):.1f}" y1="{middle:.1f}" y2="{middle:.1f}" '
            f'stroke="{colour}" stroke-width="6" stroke-opacity="0.3" stroke-linecap="round"/>'
        )
        parts.append(f'<circle cx="{x(found.mean):.1f}" cy="{middle:.1f}" r="4.5" fill="{colour}"/>')
        parts.append(_text(_WIDTH - 46, middle + 4, label(found.mean), weight="600"))
    told = f"{title}: " + ", ".join(f"{name} {label(found.mean)}" for _, name, found in rows) + "."
    return _svg(height, title, unit, told, parts)


def nice_ticks(low: float, high: float, num: int = 4) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `num` steps of 1, 2, 2.5 or 5 times 10^k."""
    span = high - low
    if span <= 0:
        span = abs(high) or 1.0
    rough = span / num
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, max(last, first + 1) + 1)]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _pieces(points: Sequence[SeriesPoint]) -> list[list[SeriesPoint]]:
    """Stretches without gaps."""
    pieces: list[list[SeriesPoint]] = [[]]
    for point in points:
        if point.mean is None:
            pieces.append([])
        else:
            pieces[-1].append(point)
    return [piece for piece in pieces if piece]


def _grid(ticks: Sequence[float], y: Callable[[float], float]) -> str:
    parts = []
    for tick in ticks:
        at = f"{y(tick):.1f}"
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}" stroke="var(--line)"/>')
        text = f"{tick:.1e}".replace("e-0", "e-") if 0 < ticks[-1] < 0.01 and tick else f"{tick:g}"
        parts.append(_text(_LEFT - 6, y(tick) + 3.5, text, anchor="end"))
    return "".join(parts)


def _step_axis(first: int, last: int, x: Callable[[float], float]) -> str:
    steps = [tick for tick in nice_ticks(first, last) if first <= tick <= last and tick == int(tick)] or [first]
    return "".join(_text(x(step), _HEIGHT - _BOTTOM + 14, f"{step:,.0f}", anchor="middle") for step in steps) + _text(
        _WIDTH - _RIGHT, _HEIGHT - 4, "step", anchor="end"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="10.5" fill="var(--dim)" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _svg(height: float, title: str, unit: str, told: str, parts: Sequence[str]) -> str:
    beside = f' <tspan font-weight="400" fill="var(--quiet)">{escape(unit)}</tspan>' if unit else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(told)}" '
        f'font-family="system-ui, sans-serif"><title>{escape(told)}</title>'
        f'<text x="0" y="13" font-size="12.5" font-weight="600" fill="var(--ink)">{escape(title)}{beside}</text>'
        f"{''.join(parts)}</svg>"
    )
