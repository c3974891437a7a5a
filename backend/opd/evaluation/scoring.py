"""How a teacher sees what the student wrote: token by token, in nats and float32.

In: a student, a teacher that can score, rows of prompt and completion. Out: reverse KL, entropy and both
log-probabilities of every token. Knows nothing of prompts' texts, gradients or runs.

Legend: N scored tokens, V vocabulary, S student width, T teacher width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from opd.events import TokenScore
from opd.objectives.divergence import Head, generalized_jsd, head_of
from opd.objectives.likelihood import negative_log_likelihood
from opd.training.models import backbone_of, causal_lm_of
from opd.training.window import MicroBatch, Row, hidden_states, split_window

_TOKENS_AT_ONCE = 8192  # padded tokens of one forward


@dataclass(frozen=True)
class TokenFacts:
    """Facts about each of a completion's tokens, in nats, float32, on the CPU."""

    reverse_kl_N: Tensor
    entropy_N: Tensor
    student_logprob_N: Tensor
    teacher_logprob_N: Tensor


class Scorer(Protocol):
    """A teacher that says of any text how likely it finds each token."""

    @property
    def digest(self) -> str:
        """Names the teacher: equal digests score alike."""
        ...

    def score(self, student: Any, rows: Sequence[Row], *, pad_id: int) -> list[TokenFacts]:
        """Both models' view of every completion token; rows without a completion get empty facts. Order as given.

        Raises:
            TeacherError: a served teacher did not answer.
        """
        ...


@dataclass(frozen=True)
class LocalScorer:
    """A local teacher with the student's tokenizer: over the whole vocabulary."""

    model: Any
    digest: str

    def score(self, student: Any, rows: Sequence[Row], *, pad_id: int) -> list[TokenFacts]:
        """See `Scorer`."""
        return score_rows(student, self.model, rows, pad_id=pad_id)


@torch.inference_mode()
def score_rows(student: Any, teacher: Any, rows: Sequence[Row], *, pad_id: int) -> list[TokenFacts]:
    """Both models' view of every completion token, over the whole vocabulary, in float32.

    Heads that were padded to different sizes are cut to the rows both have (ids beyond are used by neither). Rows
    without a completion get empty facts. Order as given.
    """
    device = next(student.parameters()).device
    order = sorted((i for i, row in enumerate(rows) if row.completion.ids), key=lambda i: -rows[i].num_tokens)
    with _evaluating(student), _evaluating(teacher):
        # Sorted already, so the batches keep this order.
        batches = split_window([rows[i] for i in order], pad_id=pad_id, device=device, max_tokens=_TOKENS_AT_ONCE)
        parts = [_score_batch(student, teacher, batch) for batch in batches]
    columns = [torch.cat(column) for column in zip(*parts, strict=True)] or [torch.empty(0)] * 4
    facts = [TokenFacts(*([torch.empty(0)] * 4))] * len(rows)
    start = 0
    for i in order:
        stop = start + len(rows[i].completion.ids)
        facts[i] = TokenFacts(*(column[start:stop] for column in columns))
        start = stop
    return facts


def token_scores(
    student: Any, scorer: Scorer, row: Row, *, pad_id: int, decode: Callable[[Sequence[int]], str]
) -> list[TokenScore]:
    """One completion, token by token, with both log-probabilities: what the page shades.

    The texts join to the decoded completion; a token that is part of a character shows with the last of its parts,
    and special tokens have no text.
    """
    facts = scorer.score(student, [row], pad_id=pad_id)[0]
    scores, shown = [], ""
    for index in range(len(row.completion.ids)):
        text = decode(row.completion.ids[: index + 1])
        is_last = index == len(row.completion.ids) - 1
        piece = text[len(shown) :] if is_last or not text.endswith("\ufffd") else ""
        shown += piece
        scores.append(
            TokenScore(
                text=piece,
                student_logprob=float(facts.student_logprob_N[index]),
                teacher_logprob=float(facts.teacher_logprob_N[index]),
            )
        )
    return scores


def _score_batch(student: Any, teacher: Any, batch: MicroBatch) -> tuple[Tensor, ...]:
    student_NS, teacher_NT = (hidden_states(backbone_of(model), batch) for model in (student, teacher))
    student_head, teacher_head = (head_of(causal_lm_of(model)) for model in (student, teacher))
    size = min(student_head.weight.shape[0], teacher_head.weight.shape[0])
    student_head, teacher_head = _cut(student_head, size), _cut(teacher_head, size)
    _, stats = generalized_jsd(student_NS, student_head, teacher_NT, teacher_head, beta=1.0, divisor=1.0)
    _, student_nll_N, _ = negative_log_likelihood(student_NS, student_head, batch.targets_N, divisor=1.0)
    _, teacher_nll_N, _ = negative_log_likelihood(teacher_NT, teacher_head, batch.targets_N, divisor=1.0)
    return tuple(x.cpu() for x in (stats.reverse_kl_N, stats.entropy_N, -student_nll_N, -teacher_nll_N))


def _cut(head: Head, size: int) -> Head:
    return replace(head, weight=head.weight[:size], bias=None if head.bias is None else head.bias[:size])


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
