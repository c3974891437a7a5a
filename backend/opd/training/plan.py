"""What each optimizer step trains on, as a pure function of (seed, step): prompts, their order, sampling seeds.

Nothing of it has to be saved: a run resumed at step k asks for step k and gets what it would have got.
Stock samplers keep their generator outside the checkpoint and replay the first epoch after a resume; here every
epoch's order is derived from (seed, epoch), and no prompt is dropped where an epoch does not fill a step.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class PlannedRow:
    """One row of a window: which prompt, whose text, and the seed of the student's sampling."""

    prompt: int
    on_policy: bool
    seed: int


@dataclass(frozen=True)
class WindowPlan:
    """The rows of every optimizer step.

    Args:
        num_prompts: training prompts.
        rows_per_step: completions of one optimizer step.
        num_steps: optimizer steps of the stage.
        on_policy_fraction: share of rows that the student writes itself (lambda); exact over the run, and in every
            step as near to it as whole rows allow.
        seed: the run's seed.
    """

    num_prompts: int
    rows_per_step: int
    num_steps: int
    on_policy_fraction: float
    seed: int

    def __len__(self) -> int:
        return self.num_steps

    def __getitem__(self, step: int) -> list[PlannedRow]:
        """Rows of the 0-based `step`."""
        if not 0 <= step < self.num_steps:
            raise IndexError(step)
        first = step * self.rows_per_step
        prompts = [self._prompt_at(first + row) for row in range(self.rows_per_step)]
        share = self.on_policy_fraction
        num_on_policy = int(share * (first + self.rows_per_step) + 1e-9) - int(share * first + 1e-9)
        chosen = set(random.Random(f"{self.seed}/rows/{step}").sample(range(self.rows_per_step), num_on_policy))
        return [
            PlannedRow(prompt, row in chosen, derive_seed(self.seed, "rollout", step, row))
            for row, prompt in enumerate(prompts)
        ]

    def __iter__(self) -> Iterator[list[PlannedRow]]:
        return (self[step] for step in range(self.num_steps))

    def _prompt_at(self, position: int) -> int:
        epoch, place = divmod(position, self.num_prompts)
        return _epoch_order(self.num_prompts, self.seed, epoch)[place]


@lru_cache(maxsize=4)
def _epoch_order(num_prompts: int, seed: int, epoch: int) -> tuple[int, ...]:
    order = list(range(num_prompts))
    random.Random(f"{seed}/epoch/{epoch}").shuffle(order)
    return tuple(order)


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from its parts: equal parts, equal seed; on any machine."""
    digest = hashlib.blake2b("/".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
