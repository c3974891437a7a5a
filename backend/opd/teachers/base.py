"""What every teacher can be asked, and the parcels that go there and come back.

`score`: what the teacher thinks of the student's own tokens, position by position. `answer`: its own text. A teacher
that cannot do one of them says so by `provides`, and the configuration never asks it to.

Legend: T tokens of a completion, K tokens that were listed at a position. Log-probabilities in nats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from opd.config import SignalKind
from opd.errors import TeacherError
from opd.pricing import Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Message = Mapping[str, Any]
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Rollouts:
    """Completions to be scored, as the teacher's token ids: its own prompt rendering, and what was written after it.

    Raises:
        ValueError: the numbers of prompts and completions differ, or a prompt is empty (its first completion token
            would have nothing to be conditioned on).
    """

    prompts: tuple[Ids, ...]
    completions: tuple[Ids, ...]

    def __post_init__(self) -> None:
        if len(self.prompts) != len(self.completions):
            raise ValueError(f"{len(self.prompts)} prompts and {len(self.completions)} completions.")
        if not all(self.prompts):
            raise ValueError("A prompt without tokens: nothing comes before the first completion token.")


@dataclass(frozen=True)
class TokenLaws:
    """Of one completion: at each of its T positions the tokens that were listed, the completion's own among them."""

    ids: NDArray[np.int64]
    """(T, K) Token ids, -1 where a position has fewer."""
    logprobs: NDArray[np.float32]
    """(T, K) Their log-probabilities given everything before; -inf where the id is -1."""
    observed: NDArray[np.float32]
    """(T,) Log-probability of the completion's own token."""


@dataclass(frozen=True)
class TeacherSignal:
    """What a teacher thinks of rollouts, in their order."""

    kind: SignalKind
    rows: tuple[TokenLaws, ...]
    usage: Usage
    """Of all requests together, counted by the server where it counts."""
    num_calls: int = 0


Problem = Literal[
    "refusal",
    "filtered",
    "truncated",
    "empty",
    "garbled",
    "other_ending",
    "other_model",
    "usage_missing",
    "usage_absurd",
    "overcharged",
    "not_understood",
    "request_refused",
]
"""Why an answer must not be trained on; what each means is in `opd.teachers.chat.readings`."""


@dataclass(frozen=True)
class Answer:
    """A teacher's own text."""

    text: str
    finish_reason: Literal["stop", "length", "refusal", "other"]
    usage: Usage
    refusal: str | None = None
    """What it said instead of answering."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the provider told beside (model, request id); JSON-ready, never a key."""
    problem: Problem | None = None
    """Why it must not be trained on; None: it may."""
    reason: str = ""
    """The same in words for people."""
    from_cache: bool = False
    """It was paid before, and not again."""


@dataclass(frozen=True)
class AnswerSampling:
    """How a teacher writes its own answers."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = 0
    """With the same seed a server that honours it gives the same answer again; None leaves it to the server."""


class Teacher(Protocol):
    """A teacher of any kind."""

    @property
    def provides(self) -> tuple[SignalKind, ...]:
        """Signals it can give, the richest first."""
        ...

    def score(self, rollouts: Rollouts) -> TeacherSignal:
        """What it thinks of tokens that somebody else wrote.

        Raises:
            TeacherError: it did not answer, or its answer is not about what was sent.
        """
        ...

    def answer(self, conversations: Sequence[Sequence[Message]]) -> list[Answer]:
        """Its own answer to each conversation.

        Raises:
            TeacherError: as for `score`.
        """
        ...


# --- answers that must not be trained on ---------------------------------------------------------


class RetokenisedError(TeacherError):
    """The server divided the text anew: its numbers belong to other tokens."""

    code = "teacher_retokenised"


class TruncatedError(TeacherError):
    """The server scored fewer tokens than it was sent."""

    code = "teacher_truncated"


class OtherIdsError(TeacherError):
    """The server scored as many tokens, but other ones."""

    code = "teacher_other_ids"


class ShiftedError(TeacherError):
    """The numbers stand at the wrong places, as if each belonged to its neighbour."""

    code = "teacher_shifted"


class FewerListedError(TeacherError):
    """The server lists fewer tokens than it was asked for."""

    code = "teacher_caps_k"


class OtherModelError(TeacherError):
    """Another model than the configured one answered."""

    code = "teacher_other_model"


class NoScoresError(TeacherError):
    """The server answers, but gives no log-probabilities of given tokens."""

    code = "teacher_gives_no_scores"
