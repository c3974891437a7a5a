"""A chat API as the teacher of a run: it answers, writes and marks; it never sees or scores a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opd.config import ChatTeacher, RunConfig
from opd.data_loader import PromptRecord
from opd.evaluation.scoring import Scorer
from opd.pipeline.beside import LineReporter
from opd.pipeline.money import Account
from opd.pipeline.reporter import Reporter
from opd.store.money import request_key
from opd.store.runs import RunFolder
from opd.teachers.base import AnswerSampling
from opd.teachers.chat import Ask, ChatApi, endpoint_of, price_of
from opd.teachers.chat.endpoints import is_free
from opd.training.decoding import Completion
from opd.training.models import Student
from opd.training.signals import Signal


class ChatRunTeacher:
    """See `RunTeacher`.

    Attributes:
        chat: puts questions; every one is booked before it leaves.
        is_free: nothing that it does costs anything.
    """

    words = "answers only: not token-level"
    num_local_parameters = 0
    context_length = 0

    def __init__(
        self,
        teacher: ChatTeacher,
        config: RunConfig,
        student: Student,
        folder: RunFolder,
        reporter: Reporter | LineReporter,
        keys: Mapping[str, str],
    ):
        self._student = student
        endpoint = endpoint_of(teacher)
        price = price_of(teacher, capped_by_tokens=config.budget_tokens is not None)
        self.is_free = is_free(price)
        self._account = Account(config, folder, reporter)
        self.chat = ChatApi.from_config(
            teacher,
            price,
            purse=self._account.purse,
            key=keys.get(endpoint.key_name),
            watch=self._account.tell,
            should_stop=lambda: reporter.stop_mode() is not None,
        )
        self.digest = request_key({"api": endpoint.api, "address": endpoint.base_url, "model": endpoint.model})

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
        """See `RunTeacher`. An answer that must not be used is empty. Seeds are not sent: one answer a prompt."""
        sampling = AnswerSampling(temperature=temperature, max_tokens=max_new_tokens)
        asks = [Ask(tuple(record.messages), sampling) for record in records]
        tell = None if progress is None else lambda done, total: progress(done)
        return [
            self.as_completion(answer.text if answer.problem is None else "", max_new_tokens)
            for answer in self.chat.ask(asks, stage="answers", progress=tell)
        ]

    def as_completion(self, text: str, max_new_tokens: int) -> Completion:
        """A text as the student would have to write it, with its end; cut where that is too long."""
        ids = self._student.tokenizer.encode(text, add_special_tokens=False) if text else []
        whole = (*ids, self._student.eos_ids[0]) if ids else ()
        return Completion(tuple(whole[:max_new_tokens]), bool(ids) and len(whole) <= max_new_tokens)

    def signal(self) -> Signal | None:
        """None: see `RunTeacher`."""
        return None

    def scorer(self) -> Scorer | None:
        """None: see `RunTeacher`."""
        return None

    def close(self) -> None:
        """See `RunTeacher`."""
        self.chat.close()
        self._account.close()
