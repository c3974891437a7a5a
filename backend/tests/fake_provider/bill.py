"""What the provider will charge: one line a request that was worked on, whether or not its answer arrived."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

NANO_USD_PER_TOKEN = {
    "gpt-4o-mini": (150, 600),
    "claude-sonnet-4-6": (3_000, 15_000),
    "tiny": (1_000, 10_000),
}
"""Input and output, from the providers' price lists; `tiny` is for prices that are typed."""


@dataclass
class Invoice:
    """The lines so far."""

    lines: list[tuple[str, int, int, int]] = field(default_factory=list)
    """(model, input tokens, output tokens, nano-dollars)."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def charge(self, model: str, input_tokens: int, output_tokens: int) -> None:
        """Add a line."""
        rate_in, rate_out = NANO_USD_PER_TOKEN.get(model, (0, 0))
        with self._lock:
            self.lines.append((model, input_tokens, output_tokens, input_tokens * rate_in + output_tokens * rate_out))

    @property
    def nano_usd(self) -> int:
        """The sum."""
        with self._lock:
            return sum(line[3] for line in self.lines)
