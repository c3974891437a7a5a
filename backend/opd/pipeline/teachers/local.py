"""A model on this machine with the student's tokenizer: the whole next-token distribution at every token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from opd.config import (
    DivergenceObjective,
    PolicyGradientObjective,
    RunConfig,
    TopKForwardObjective,
    TopKReverseObjective,
)
from opd.data_loader import PromptRecord
from opd.evaluation.measure import weights_digest
from opd.evaluation.scoring import LocalScorer
from opd.training.decoding import Completion, generate
from opd.training.lean_forward import LeanForward
from opd.training.listed import ListedView, LocalLaws
from opd.training.models import Student, encode_prompts
from opd.training.signals import LocalDistribution, Signal
from opd.training.views import ViewSignal


class LocalRunTeacher:
    """See `RunTeacher`. It reads the student's rendering of a prompt, token for token.

    Attributes:
        model: the loaded model; TRL's GOLDTrainer wants it as it is.
    """

    words = "token by token, full distribution"

    def __init__(self, model: Any, student: Student, config: RunConfig):
        self.model, self._student, self._config = model, student, config

    @cached_property
    def digest(self) -> str:
        """See `RunTeacher`."""
        return weights_digest(self.model)

    @property
    def num_local_parameters(self) -> int:
        """See `RunTeacher`."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def context_length(self) -> int:
        """See `RunTeacher`."""
        return int(getattr(self.model.config, "max_position_embeddings", 0) or 0)

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
        """See `RunTeacher`."""
        return generate(
            self.model,
            encode_prompts(self._student.tokenizer, records, max_completion_tokens=max_new_tokens, context_length=0),
            seeds=seeds,
            max_new_tokens=max_new_tokens,
            eos_ids=self._student.eos_ids,
            pad_id=self._student.pad_id,
            temperature=temperature,
            batch_size=at_once,
            progress=progress,
        )

    def signal(self) -> Signal | None:
        """See `RunTeacher`; None where the objective brings a trainer of its own."""
        match self._config.objective:
            case DivergenceObjective(beta=beta):
                itself = self._config.teacher.model == self._config.student.model
                plain = itself and not LeanForward.supports(self._student.model)
                return LocalDistribution(self.model, beta=beta, plain=plain)
            case TopKForwardObjective(type=kind, top_k=top_k) | TopKReverseObjective(type=kind, top_k=top_k):
                return ViewSignal(ListedView(LocalLaws(self.model, top_k=top_k), kind))
            case PolicyGradientObjective(type=kind):
                return ViewSignal(ListedView(LocalLaws(self.model, top_k=1), kind))
            case _:
                return None

    def scorer(self) -> LocalScorer:
        """See `RunTeacher`."""
        return LocalScorer(self.model, self.digest)

    def close(self) -> None:
        """Nothing to end."""
