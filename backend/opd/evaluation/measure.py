"""Measures one model on the held-out prompts, in the run's own process.

In: a model, prompts with their token ids, how answers are checked, a teacher to score with (or none). Out: an
`Evaluation`, kept in the run folder chunk by chunk: a killed evaluation goes on where it was, a finished one is read.
Knows nothing of verdicts or events.

Two things are asked of the model: its answers (greedy unless told otherwise), which are graded, and samples at
temperature 1, which the teacher scores token by token. A greedy answer says nothing about
the divergence of what the student really writes, and a sample says less about its best answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import torch

from opd.config import DataConfig
from opd.data_loader.records import PromptRecord
from opd.evaluation.answers import grade
from opd.evaluation.results import Evaluation, GradedAnswer, ResultsFile, ScoredSample, digest, results_path
from opd.evaluation.scoring import Scorer
from opd.evaluation.texts import ends_in_loop, reads_like_refusal
from opd.training.decoding import Completion, generate
from opd.training.plan import derive_seed
from opd.training.window import Row

Progress = Callable[[int, int], None]


class Generate(Protocol):
    """Completes prompts; `opd.training.decoding.generate` is one."""

    def __call__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        *,
        seeds: Sequence[int],
        max_new_tokens: int,
        eos_ids: Sequence[int],
        pad_id: int,
        temperature: float = 1.0,
    ) -> list[Completion]: ...


@dataclass(frozen=True)
class Subject:
    """The model that is measured. `digest` names its weights (`weights_digest`, or a checkpoint's hash)."""

    name: str
    model: Any
    digest: str
    eos_ids: tuple[int, ...]
    pad_id: int


@dataclass(frozen=True)
class Settings:
    """What is asked of the model.

    `num_answers` graded answers a prompt, at `temperature` (0: greedy, one suffices); samples are drawn for the first
    `num_scored_prompts` prompts (None: all, 0: none) where there is a scorer; `chunk_size` prompts at once and per
    line of progress that survives a kill.
    """

    max_completion_tokens: int
    temperature: float = 0.0
    num_answers: int = 1
    num_scored_prompts: int | None = None
    seed: int = 0
    chunk_size: int = 128


def evaluate_model(
    subject: Subject,
    prompts: Sequence[PromptRecord],
    prompt_ids: Sequence[Sequence[int]],
    *,
    data: DataConfig,
    settings: Settings,
    decode: Callable[[Sequence[int]], str],
    scorer: Scorer | None = None,
    run_path: Path | None = None,
    complete: Generate = generate,
    progress: Progress | None = None,
) -> Evaluation:
    """Answers and scored samples of one model on these prompts.

    Args:
        prompt_ids: each prompt through the chat template, as token ids.
        decode: token ids to text without special tokens.
        run_path: the run's folder; results are kept below it. None keeps nothing.
        progress: called with (prompts done, all prompts) after every chunk; may raise to stop.

    Raises:
        ConfigError: the expected answers cannot be checked as configured.
        StorageError: the results cannot be written.
    """
    chunks = [range(i, min(i + settings.chunk_size, len(prompts))) for i in range(0, len(prompts), settings.chunk_size)]
    work = _Work(subject, prompts, prompt_ids, data, settings, decode, scorer, complete)
    file = ResultsFile(results_path(run_path, subject.name), work.key()) if run_path else None
    finished = list(file.chunks) if file else []
    answers = [answer for chunk in finished for answer in chunk[0]]
    samples = [sample for chunk in finished for sample in chunk[1]]
    try:
        for rows in chunks[len(finished) :]:
            new_answers, new_samples = work.answers(rows), work.samples(rows)
            if file:
                file.append(new_answers, new_samples)
            answers += new_answers
            samples += new_samples
            if progress:
                progress(rows.stop, len(prompts))
    finally:
        if file:
            file.close()
    return Evaluation(subject.name, tuple(answers), tuple(samples))


def weights_digest(model: Any) -> str:
    """SHA-256 over all weights: equal digests are equal models. Reads every weight once."""
    total = sha256()
    for name, tensor in model.state_dict().items():
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


@dataclass(frozen=True)
class _Work:
    """Everything that a chunk needs, so that it is passed once."""

    subject: Subject
    prompts: Sequence[PromptRecord]
    prompt_ids: Sequence[Sequence[int]]
    data: DataConfig
    settings: Settings
    decode: Callable[[Sequence[int]], str]
    scorer: Scorer | None
    complete: Generate

    def answers(self, rows: range) -> list[GradedAnswer]:
        """Graded answers to these prompts."""
        asked = [(i, sample) for i in rows for sample in range(self.settings.num_answers)]
        seeds = [derive_seed(self.settings.seed, "answer", self.prompts[i].id, sample) for i, sample in asked]
        written = self._write([i for i, _ in asked], seeds, self.settings.temperature)
        return [self._graded(i, sample, done) for (i, sample), done in zip(asked, written, strict=True)]

    def samples(self, rows: range) -> list[ScoredSample]:
        """Scored samples of these prompts, as far as samples are wanted."""
        wanted = self.settings.num_scored_prompts
        asked = [i for i in rows if wanted is None or i < wanted]
        if self.scorer is None or not asked:
            return []
        seeds = [derive_seed(self.settings.seed, "sample", self.prompts[i].id) for i in asked]
        written = self._write(asked, seeds, 1.0)
        scored = [Row(tuple(self.prompt_ids[i]), done, True) for i, done in zip(asked, written, strict=True)]
        facts = self.scorer.score(self.subject.model, scored, pad_id=self.subject.pad_id)
        return [
            ScoredSample(
                prompt_id=self.prompts[i].id,
                num_tokens=len(done.ids),
                sum_reverse_kl=float(fact.reverse_kl_N.double().sum()),
                sum_teacher_nll=-float(fact.teacher_logprob_N.double().sum()),
                sum_entropy=float(fact.entropy_N.double().sum()),
            )
            for i, done, fact in zip(asked, written, facts, strict=True)
            if done.ids
        ]

    def key(self) -> dict[str, Any]:
        """What was measured: results under another key are another measurement."""
        asked = [[p.id, list(ids), p.answer] for p, ids in zip(self.prompts, self.prompt_ids, strict=True)]
        return {
            "subject": self.subject.name,
            "model": self.subject.digest,
            "teacher": self.scorer.digest if self.scorer else None,
            "prompts": digest(asked),
            "answer_match": self.data.answer_match,
            "answer_pattern": self.data.answer_pattern,
            "settings": asdict(self.settings),
        }

    def _write(self, asked: list[int], seeds: list[int], temperature: float) -> list[Completion]:
        return self.complete(
            self.subject.model,
            [self.prompt_ids[i] for i in asked],
            seeds=seeds,
            max_new_tokens=self.settings.max_completion_tokens,
            eos_ids=self.subject.eos_ids,
            pad_id=self.subject.pad_id,
            temperature=temperature,
        )

    def _graded(self, index: int, sample: int, done: Completion) -> GradedAnswer:
        prompt, text = self.prompts[index], self.decode(done.ids)
        return GradedAnswer(
            prompt_id=prompt.id,
            question=next((m["content"] for m in reversed(prompt.messages) if m["role"] == "user"), ""),
            expected=prompt.answer,
            text=text,
            correct=grade(self.data, text, prompt.answer),
            num_tokens=len(done.ids),
            truncated=not done.finished,
            repeated=ends_in_loop(text),
            refused=reads_like_refusal(text),
            sample=sample,
        )
