"""What one model did on the held-out prompts, and its file in the run folder.

In: graded answers and scored samples. Out: `Evaluation`, and `evaluations/<subject>.jsonl`, which grows chunk by chunk
so that a killed evaluation goes on where it was. Knows nothing of models, intervals or verdicts.

Answers are what the student says (greedy, or at the temperature asked for). Samples are drawn at temperature 1 and
scored by the teacher; only they tell the KL divergence of what the student really writes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from opd.errors import StorageError

FORMAT_VERSION = 1
_SUBJECT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """One answer to one held-out prompt.

    `question` is the prompt's last user message. `correct` is None where the prompt has no checkable answer.
    `num_tokens` includes the end token; `truncated`: the limit came before the end token; `repeated`: it ends in a
    loop; `refused`: it reads like a refusal.
    """

    prompt_id: str
    question: str
    expected: str | None
    text: str
    correct: bool | None
    num_tokens: int
    truncated: bool
    repeated: bool
    refused: bool
    sample: int = 0


@dataclass(frozen=True, slots=True)
class ScoredSample:
    """One temperature-1 sample under both models. Sums over its tokens, in nats.

    `sum_reverse_kl`: KL(student ‖ teacher) over the whole vocabulary at every token; `sum_teacher_nll`: minus the
    teacher's log-probability of the sampled tokens; `sum_entropy`: the student's entropy.
    """

    prompt_id: str
    num_tokens: int
    sum_reverse_kl: float
    sum_teacher_nll: float
    sum_entropy: float


@dataclass(frozen=True, slots=True)
class ScoredReference:
    """A good answer to a question outside the task, under a student: minus its log-probability, nats, end included."""

    prompt_id: str
    num_tokens: int
    num_bytes: int
    sum_nll: float


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one model. `subject` is before, sft, after or teacher for the verdict's four.

    `references` are not in the file of results: see `opd.pipeline.regression`.
    """

    subject: str
    answers: tuple[GradedAnswer, ...] = ()
    samples: tuple[ScoredSample, ...] = ()
    references: tuple[ScoredReference, ...] = ()


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def results_path(run_path: Path, subject: str) -> Path:
    """Where the results of a subject lie in a run folder."""
    if not _SUBJECT.fullmatch(subject):
        raise ValueError(f"{subject!r} cannot name an evaluation, expected small letters, digits, '.', '-' and '_'.")
    return run_path / "evaluations" / f"{subject}.jsonl"


def read_evaluation(run_path: Path, subject: str) -> Evaluation | None:
    """The finished chunks of a subject's file, or None when there is none."""
    path = results_path(run_path, subject)
    if not path.exists():
        return None
    answers: list[GradedAnswer] = []
    samples: list[ScoredSample] = []
    _, chunks, _ = _parse(path.read_bytes())
    for chunk in chunks:
        answers += chunk[0]
        samples += chunk[1]
    return Evaluation(subject, tuple(answers), tuple(samples))


class ResultsFile:
    """A subject's file, opened to go on with it.

    The first line holds the key of what was measured (model, prompts, settings). A file with another key is stale and
    replaced; a torn tail is cut off.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]):
        self._path = path
        header, chunks, good_bytes = _parse(path.read_bytes()) if path.exists() else (None, [], 0)
        if header != {"type": "header", "version": FORMAT_VERSION, **key}:
            header, chunks, good_bytes = None, [], 0
        self.chunks: list[Chunk] = chunks
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "ab")  # noqa: SIM115 - held open for the evaluation, closed by close()
            self._file.truncate(good_bytes)
            if header is None:
                self._write([{"type": "header", "version": FORMAT_VERSION, **key}])
        except OSError as error:
            raise _cannot_write(path, error) from error

    def append(self, answers: Sequence[GradedAnswer], samples: Sequence[ScoredSample]) -> None:
        """Add one finished chunk, durably.

        Raises:
            StorageError: the disk is full or the file cannot be written.
        """
        lines: list[dict[str, Any]] = [{"type": "answer", **asdict(answer)} for answer in answers]
        lines += [{"type": "sample", **asdict(sample)} for sample in samples]
        try:
            self._write([*lines, {"type": "chunk", "index": len(self.chunks)}])
        except OSError as error:
            raise _cannot_write(self._path, error) from error
        self.chunks.append((list(answers), list(samples)))

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        # ASCII escapes keep lone surrogates, which a model may write, out of the encoder.
        self._file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


Chunk = tuple[list[GradedAnswer], list[ScoredSample]]


def _parse(data: bytes) -> tuple[dict[str, Any] | None, list[Chunk], int]:
    """Header, finished chunks, and how many bytes they take; anything after is unfinished."""
    header: dict[str, Any] | None = None
    chunks: list[Chunk] = []
    answers: list[GradedAnswer] = []
    samples: list[ScoredSample] = []
    position = good_bytes = 0
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        position += len(line)
        try:
            record: dict[str, Any] = json.loads(line)
            kind = record.pop("type")
            if kind == "header":
                header, good_bytes = {"type": "header", **record}, position
            elif kind == "answer":
                answers.append(GradedAnswer(**record))
            elif kind == "sample":
                samples.append(ScoredSample(**record))
            elif kind == "chunk" and record["index"] == len(chunks):
                chunks.append((answers, samples))
                answers, samples, good_bytes = [], [], position
            else:
                break
        except (ValueError, TypeError, KeyError, AttributeError):
            break
    return header, chunks, good_bytes


def _cannot_write(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"The evaluation's results could not be written to {path.name}: {error.strerror}.",
        hint="Free disk space, then resume the run: what was measured so far is kept.",
    )
