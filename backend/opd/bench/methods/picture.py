"""The picture of a table: each row's exact match with its interval, as SVG that follows the reader's light or dark.

In: rows as in the JSON. Out: the same text for the same rows, so that a test can hold a kept picture to its figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _LABELS, _RIGHT, _ROW, _TOP, _BOTTOM = 760, 216, 64, 26, 12, 46
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2933 }
  .paper { fill: #ffffff }
  .quiet { fill: #5f6b76; font-size: 12px }
  .grid { stroke: #d9dee3 }
  .band { stroke: #0f6e64; stroke-opacity: .32 }
  .mean { fill: #0f6e64 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #161b21 } text { fill: #e6eaee } .quiet { fill: #9aa7b2 } .grid { stroke: #3a444d }
    .band { stroke: #4fc3b4 } .mean { fill: #4fc3b4 }
  }
"""


def draw(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """The picture.

    Args:
        rows: as in the JSON; from top to bottom.
        title: for who cannot see it.
    """
    bottom = _TOP + _ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        '<rect class="paper" width="100%" height="100%" rx="6"/>',  # a page's own dark need not be the system's
    ]
    for tenth in range(0, 11, 2):
        x = _x(tenth / 10)
        parts += [
            f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{bottom}"/>',
            f'<text class="quiet" x="{x}" y="{bottom + 18}" text-anchor="middle">{tenth / 10:.1f}</text>',
        ]
    for place, row in enumerate(rows):
        parts += _row(row, _TOP + _ROW * place + _ROW // 2)
    what = "exact match on held-out questions; band: 95 % interval over seeds and questions"
    parts += [f'<text class="quiet" x="{_x(0)}" y="{bottom + 38}">{escape(what)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _row(row: Mapping[str, Any], y: int) -> list[str]:
    match = row["exact_match"]
    low, mean, high = (_x(match[name]) for name in ("low", "mean", "high"))
    name = escape(row["method"].replace("_", " "))
    return [
        f'<text x="{_LABELS - 14}" y="{y + 4}" text-anchor="end">{name}</text>',
        f'<line class="band" x1="{low}" x2="{high}" y1="{y}" y2="{y}" stroke-width="9"/>',
        f'<circle class="mean" cx="{mean}" cy="{y}" r="5"/>',
        f'<text class="quiet" x="{_WIDTH - 8}" y="{y + 4}" text-anchor="end">{match["mean"]:.3f}</text>',
    ]


def _x(share: float) -> float:
    return round(_LABELS + share * (_WIDTH - _LABELS - _RIGHT), 1)
