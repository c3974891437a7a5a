"""A model on this machine with another tokenizer: whole laws, marginalised onto the student's tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from opd.config import DivergenceObjective, RunConfig, TopKForwardObjective, TopKReverseObjective
from opd.data_loader import PromptRecord
from opd.evaluation.measure import weights_digest
from opd.objectives.alignment import TextCodec
from opd.pipeline.teachers.judging import ViewScorer, as_completion
from opd.pipeline.teachers.tokenizers import Reading
from opd.teachers.probe_report import across_words
from opd.training.across import AcrossView, ModelLaws
from opd.training.decoding import Completion, generate
from opd.training.signals import Signal
from opd.training.views import ViewSignal

_LONGER = 2  # a teacher may need as many times the student's tokens for the same text


class AcrossRunTeacher:
    """See `RunTeacher`. It reads its own rendering of a prompt, and the student's text divided its own way.

    Attributes:
        model: the loaded model; TRL's GOLDTrainer wants it as it is.
        reading: both tokenizers.
        prompts: by the student's ids of a prompt, the teacher's.

    Args:
        records: all prompts of the run.
        share: of positions that get a target, on the probe's texts.
    """

    def __init__(
        self, model: Any, reading: Reading, config: RunConfig, records: Sequence[PromptRecord], *, share: float
    ):
        self.model, self.reading, self._config, self._share = model, reading, config, share
        self.prompts = reading.prompts(records)
        ends = reading.codec.eos_ids
        self._laws = ModelLaws(model, pad_id=ends[0])

    @property
    def words(self) -> str:
        """See `RunTeacher`."""
        return across_words(self._share)

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
        """See `RunTeacher`; the probe has compared the teacher's own tokens, of which there may be fewer or more."""
        return 0

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
        codec = self.reading.codec
        written = generate(
            self.model,
            list(self.reading.encode(records)),
            seeds=seeds,
            max_new_tokens=_LONGER * max_new_tokens,
            eos_ids=codec.eos_ids,
            pad_id=codec.eos_ids[0],
            temperature=temperature,
            batch_size=at_once,
            progress=progress,
        )
        student = self.reading.correspondence.student
        return [
            as_completion(student, _bytes(codec, done.ids), ended=done.finished, most=max_new_tokens)
            for done in written
        ]

    def signal(self) -> Signal | None:
        """See `RunTeacher`; None where the objective brings a trainer of its own."""
        match self._config.objective:
            case DivergenceObjective(beta=beta):
                return ViewSignal(self._view(beta))
            case TopKForwardObjective():  # whole laws are at hand, so nothing is cut off
                return ViewSignal(self._view(0.0))
            case TopKReverseObjective():
                return ViewSignal(self._view(1.0))
            case _:
                return None

    def scorer(self) -> ViewScorer:
        """See `RunTeacher`."""
        return ViewScorer(self._view(1.0), self.digest)

    def close(self) -> None:
        """Nothing to end."""

    def _view(self, beta: float) -> AcrossView:
        return AcrossView(self.reading.correspondence, self._laws, self.prompts, beta=beta)


def _bytes(codec: TextCodec, ids: Sequence[int]) -> bytes:
    """The text of an answer; special tokens have none."""
    words = ((codec.table(place == 0))[token] for place, token in enumerate(ids))
    return b"".join(word for word in words if word)
