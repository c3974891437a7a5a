"""A teacher behind a scoring server, with the student's tokenizer or with its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from opd.config import PolicyGradientObjective, RunConfig, TopKForwardObjective, TopKReverseObjective
from opd.data_loader import PromptRecord
from opd.pipeline.teachers.judging import ViewScorer, as_completion, student_codec
from opd.pipeline.teachers.tokenizers import Reading
from opd.teachers.base import AnswerSampling
from opd.teachers.probe_report import ProbeReport
from opd.teachers.scoring_server import ScoringServer
from opd.training.across import AcrossView, ServedPairLaws
from opd.training.checkpoint import text_digest
from opd.training.decoding import Completion
from opd.training.listed import ListedView, SameTokens, ServedLaws
from opd.training.models import Student
from opd.training.signals import Signal
from opd.training.views import View, ViewSignal

_LONGER = 2  # a teacher may need as many times the student's tokens for the same text
_ASKED_AT_ONCE = 64  # between two signs of progress


class ServedRunTeacher:
    """See `RunTeacher`.

    Args:
        reading: both tokenizers where they differ; None where the server has the student's.
        records: all prompts of the run.
        report: what the probe has found out just now.
        is_free: nothing that it does costs anything.
        ends: closes the server, and the account that it is paid from.
    """

    def __init__(
        self,
        server: ScoringServer,
        student: Student,
        config: RunConfig,
        records: Sequence[PromptRecord],
        *,
        reading: Reading | None,
        report: ProbeReport,
        is_free: bool,
        ends: ExitStack,
    ):
        self.is_free, self._ends = is_free, ends
        self._server, self._config, self._reading, self.words = server, config, reading, report.finding
        self._codec = reading.correspondence.student if reading else student_codec(student)
        self._prompts = reading.prompts(records) if reading else {}
        # A name and an address are all that is known of the weights behind them.
        self.digest = text_digest("server", server.origin, server.model)

    num_local_parameters = 0
    context_length = 0  # the probe has compared the lengths, in the teacher's own tokens

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
        most = max_new_tokens * (_LONGER if self._reading else 1)
        written: list[Completion] = []
        size = at_once or _ASKED_AT_ONCE
        for first in range(0, len(records), size):
            part = slice(first, first + size)
            samplings = [AnswerSampling(temperature, 1.0, most, seed) for seed in seeds[part]]
            for answer in self._server.answer([record.messages for record in records[part]], samplings):
                ended = answer.finish_reason == "stop"
                written.append(as_completion(self._codec, answer.text.encode(), ended=ended, most=max_new_tokens))
            if progress is not None:
                progress(len(written))
        return written

    def signal(self) -> Signal | None:
        """See `RunTeacher`."""
        view = self._view(judging=False)
        return ViewSignal(view) if view is not None else None

    def scorer(self) -> ViewScorer | None:
        """See `RunTeacher`."""
        view = self._view(judging=True)
        return ViewScorer(view, self.digest) if view is not None else None

    def close(self) -> None:
        """See `RunTeacher`."""
        self._ends.close()

    def _view(self, *, judging: bool) -> View | None:
        """What training or, with `judging`, a measurement sees; the latter in reverse KL where laws are told."""
        objective, laws = self._config.objective, ServedLaws(self._server)
        forward = isinstance(objective, TopKForwardObjective) and not judging
        if self._reading is not None and isinstance(objective, TopKForwardObjective | TopKReverseObjective):
            source = ServedPairLaws(laws, self._reading.width)
            return AcrossView(self._reading.correspondence, source, self._prompts, beta=0.0 if forward else 1.0)
        match objective:
            case TopKForwardObjective() | TopKReverseObjective():
                return ListedView(SameTokens(laws), "topk_forward_kl" if forward else "topk_reverse_kl")
            case PolicyGradientObjective():
                return ListedView(SameTokens(laws), "policy_gradient")
            case _:
                return None
