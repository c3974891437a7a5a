"""The scenario table: what naive on-policy distillation would cost, under the simplest assumptions.

In: model names. Out: rows of tokens and dollars, and their rendering. The assumptions are deliberately crude: every
prompt is sent to the teacher at every step, 100 input tokens each, and only the input price counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from opd.pricing.lookup import resolve_model
from opd.pricing.records import Usage, price, usd

TOKENS_PER_CALL = 100
SCENARIOS: tuple[tuple[int, int], ...] = ((5, 100), (119, 1000))
"""(number of prompts, number of steps)."""
SCENARIO_MODELS = ("openai/gpt-4o-mini", "anthropic/claude-3.5-sonnet")

ASSUMPTIONS = f"{TOKENS_PER_CALL} tokens a prompt and step, every prompt at every step, input price only."
WHY_REAL_DIFFERS = (
    "The real estimate differs because each request is priced apart with its true prompt length, output tokens cost "
    "several times more than input tokens, and an answer that was paid once is kept and never asked for again."
)


@dataclass(frozen=True, slots=True)
class ScenarioRow:
    """One cell of the table. `usd_shown` is `usd` to the cent, halves to the even cent (1.785 -> 1.78)."""

    model: str
    priced_as: str
    price_id: str
    num_prompts: int
    num_steps: int
    num_calls: int
    input_tokens: int
    usd: Decimal
    usd_shown: str

    def as_dict(self) -> dict[str, object]:
        """JSON form; the exact amount as a decimal text."""
        return {**asdict(self), "usd": str(self.usd.normalize())}


def scenario_table(models: Sequence[str] = SCENARIO_MODELS, *, when: datetime | None = None) -> list[ScenarioRow]:
    """Rows by scenario, then by model.

    Raises:
        PriceUnknownError: a model without a price.
    """
    rows = []
    for num_prompts, num_steps in SCENARIOS:
        for name in models:
            model = resolve_model(name, when=when)
            calls = num_prompts * num_steps
            amount = usd(calls * price(Usage(input_tokens=TOKENS_PER_CALL), model))
            rows.append(
                ScenarioRow(
                    model=name,
                    priced_as=model.id,
                    price_id=model.price_id,
                    num_prompts=num_prompts,
                    num_steps=num_steps,
                    num_calls=calls,
                    input_tokens=calls * TOKENS_PER_CALL,
                    usd=amount,
                    usd_shown=f"${cents(amount):,}",
                )
            )
    return rows


def cents(amount: Decimal) -> Decimal:
    """Dollars to the cent, halves to the even cent."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def render_scenarios(rows: Sequence[ScenarioRow]) -> str:
    """The table as text, with its assumptions and the reason why a real estimate differs."""
    lines = [f"{'Prompts':>8} {'Steps':>6} {'Tokens':>12}  {'Teacher':32} {'Cost':>10}  Exactly"]
    lines += [
        f"{row.num_prompts:>8} {row.num_steps:>6} {row.input_tokens:>12,}  {row.model:32} {row.usd_shown:>10}  "
        f"${row.usd.normalize():f}"
        for row in rows
    ]
    return "\n".join([*lines, "", f"Assumptions: {ASSUMPTIONS}", WHY_REAL_DIFFERS])
