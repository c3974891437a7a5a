"""One model and one thread that works for it: writes completions and scores given tokens, several at once.

In: `WriteJob` and `ScoreJob` from any thread. Out: futures. Jobs that wait while another is worked on are taken
together where they can share a forward pass. Knows nothing of HTTP.

Legend: B rows, L tokens of the longest, V vocabulary, K listed tokens, H width of hidden states.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import torch
from torch import Tensor

from opd.errors import BusyError, TeacherError
from opd.objectives.chunked import head_logits
from opd.objectives.divergence import head_of
from opd.serving.loading import ServedModel
from opd.serving.writing import Written, write_batch
from opd.training.models import backbone_of

_log = logging.getLogger(__name__)
_MAX_WAITING = 512
_MAX_BATCH_ROWS = 32
_MAX_BATCH_TOKENS = 16_384
_LOGITS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class TokenScores:
    """Of one sequence of L tokens: entry i is about token i given those before; entry 0 does not exist."""

    observed: list[float]
    """(L - 1,)"""
    top_ids: list[list[int]]
    top_logprobs: list[list[float]]
    """(L - 1, K), likeliest first."""
    ranks: list[int]
    """(L - 1,) 1 is the likeliest."""


@dataclass(eq=False)
class WriteJob:
    """Complete one prompt. `on_text` gets text as it is written, from the engine's thread."""

    ids: Sequence[int]
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    on_text: Callable[[str], None] | None = None
    is_cancelled: bool = False
    future: Future[Written] = field(default_factory=Future)


@dataclass(eq=False)
class ScoreJob:
    """Score one sequence."""

    ids: Sequence[int]
    k: int
    future: Future[TokenScores] = field(default_factory=Future)


Job = WriteJob | ScoreJob


class Engine:
    """Owns the model. `close` ends the thread after the work at hand."""

    def __init__(self, served: ServedModel):
        self.served = served
        self._waiting: queue.Queue[Job | None] = queue.Queue(_MAX_WAITING)
        self._held: Job | None = None
        self._thread = threading.Thread(target=self._work, name="opd-engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job in the queue; its future is set when it is done.

        Raises:
            BusyError: too many are waiting.
        """
        try:
            self._waiting.put_nowait(job)
        except queue.Full:
            raise BusyError(
                f"{_MAX_WAITING} requests are waiting already.", hint="Ask again in a moment, with fewer at once."
            ) from None

    def close(self) -> None:
        """Stop working."""
        self._waiting.put(None)
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            try:
                self._run(batch)
            except Exception as error:  # noqa: BLE001  # the thread's door: whoever waits is told, others go on
                _log.warning("a batch of %d failed: %s", len(batch), type(error).__name__)
                for job in batch:
                    if not job.future.done():
                        job.future.set_exception(
                            TeacherError(
                                f"The model could not do it: {type(error).__name__}.",
                                hint="The server's log tells more; shorter requests need less memory.",
                            )
                        )

    def _run(self, batch: list[Job]) -> None:
        writing = [job for job in batch if isinstance(job, WriteJob)]
        if writing:
            for write_job, written in zip(writing, write_batch(self.served, writing), strict=True):
                if not write_job.future.cancelled():
                    write_job.future.set_result(written)
            return
        scoring = [job for job in batch if isinstance(job, ScoreJob)]
        for job, scores in zip(scoring, score_batch(self.served, [(j.ids, j.k) for j in scoring]), strict=True):
            if not job.future.cancelled():
                job.future.set_result(scores)

    def _take(self) -> list[Job] | None:
        """The next job, and those behind it that can be done together with it."""
        first = self._held or self._waiting.get()
        self._held = None
        if first is None:
            return None
        batch = [first]
        while len(batch) < _MAX_BATCH_ROWS:
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._waiting.put(None)
                break
            if not _go_together(batch, job):
                self._held = job
                break
            batch.append(job)
        return batch


def _go_together(batch: Sequence[Job], job: Job) -> bool:
    first = batch[0]
    longest = max(len(other.ids) for other in (*batch, job))
    if (len(batch) + 1) * longest > _MAX_BATCH_TOKENS:
        return False
    if isinstance(first, WriteJob) and isinstance(job, WriteJob):
        return (first.temperature, first.top_p) == (job.temperature, job.top_p)
    return isinstance(first, ScoreJob) and isinstance(job, ScoreJob)


@torch.inference_mode()
def score_batch(served: ServedModel, rows: Sequence[tuple[Sequence[int], int]]) -> list[TokenScores]:
    """Scores of several sequences, each with its own K; the logits are formed a few positions at a time."""
    longest = max(len(ids) for ids, _ in rows)
    if longest < 2:
        return [TokenScores([], [], [], []) for _ in rows]
    # Padding on the right needs no mask: no token looks at what comes after it.
    ids_BL = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids, _ in rows], device=served.device)
    hidden_BLH = backbone_of(served.model)(input_ids=ids_BL, use_cache=False).last_hidden_state
    head = head_of(served.model)
    chunk = max(1, _LOGITS_AT_ONCE // head.weight.shape[0])
    scores = []
    for row, (ids, k) in enumerate(rows):
        observed: list[Tensor] = []
        tops: list[tuple[Tensor, Tensor]] = []
        ranks: list[Tensor] = []
        for start in range(0, len(ids) - 1, chunk):
            stop = min(start + chunk, len(ids) - 1)
            law_CV = torch.log_softmax(head_logits(hidden_BLH[row, start:stop], head), dim=-1)
            own_C1 = law_CV.gather(-1, ids_BL[row, start + 1 : stop + 1].unsqueeze(-1))
            observed.append(own_C1.squeeze(-1))
            ranks.append((law_CV > own_C1).sum(-1) + 1)
            values_CK, ids_CK = law_CV.topk(min(k, law_CV.shape[-1]), dim=-1)
            tops.append((values_CK, ids_CK))
        scores.append(
            TokenScores(
                _listed(observed),
                _listed([ids_CK for _, ids_CK in tops]),
                _listed([values_CK for values_CK, _ in tops]),
                _listed(ranks),
            )
        )
    return scores


def _listed(parts: Sequence[Tensor]) -> list:  # type: ignore[type-arg]  # of numbers, or of lists of them
    return torch.cat(list(parts)).tolist() if parts else []
