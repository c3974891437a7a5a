"""What the walk of a run needs of a teacher of any kind: its answers, its signal, its judgement.

A teacher that cannot score gives None for what rests on scores; the walk then leaves those parts out. Everything here
speaks of the student's tokens, whatever the teacher's own are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from opd.data_loader import PromptRecord
from opd.evaluation.scoring import Scorer
from opd.training.decoding import Completion
from opd.training.signals import Signal


class RunTeacher(Protocol):
    """A teacher at work in a run."""

    @property
    def words(self) -> str:
        """What it can do for this student, for the screen: "token by token, full distribution"."""
        ...

    @property
    def digest(self) -> str:
        """Names the teacher: equal digests answer alike, so kept results are still its own."""
        ...

    @property
    def num_local_parameters(self) -> int:
        """Parameters that this machine computes with; 0 for a teacher elsewhere."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer that it reads, in the student's tokens; 0 where it does not say."""
        ...

    def write(
        self,
        records: Sequence[PromptRecord],
        *,
        seeds: Sequence[int],
        max_new_tokens: int,
        temperature: float = 1.0,
        at_once: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """Its own answer to each prompt, as the student would have to write it.

        Args:
            seeds: one a prompt; a teacher that honours them gives the same answer again.
            max_new_tokens: of the student's tokens; what is longer is cut and counts as not finished.
            at_once: prompts under way together; None: all.
            progress: called with the number of prompts done.

        Raises:
            TeacherError: a served teacher did not answer.
        """
        ...

    def signal(self) -> Signal | None:
        """What a distillation step learns from; None for a teacher that only answers."""
        ...

    def scorer(self) -> Scorer | None:
        """Its view of given text, for held-out divergence and live samples; None for a teacher that only answers."""
        ...

    def close(self) -> None:
        """End connections; nothing may be asked afterwards."""
        ...
