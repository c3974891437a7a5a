"""Makes a tiny language model from nothing: shape, lessons as tokens, training, greedy exact match.

In: a tokenizer, a shape, a source of lessons. Out: a trained model in memory. One CPU thread and fixed seeds, so the
same machine makes the same weights again. Knows nothing of files or of which model is teacher or student.

Legend: B rows, T tokens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Qwen3Config, Qwen3ForCausalLM

from opd.demo.lessons import Lesson
from opd.demo.task import Question, is_correct
from opd.training.decoding import generate

MAX_ANSWER_TOKENS = 40
CONTEXT_LENGTH = 512
_IGNORED = -100
_WIDEST = 1.4  # rows whose lengths differ by more are not padded to one width


@dataclass(frozen=True)
class Shape:
    """Size of a Qwen3 model."""

    hidden_size: int
    num_layers: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_size: int = 32


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: linear warm-up, then linear decay of the learning rate to `final_share` of its peak."""

    max_steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int = 50
    final_share: float = 0.0

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        left = 1 - step / self.max_steps
        return self.learning_rate * min(1.0, (step + 1) / self.warmup_steps) * max(left, self.final_share)


def new_model(tokenizer: Any, shape: Shape, seed: int) -> Any:
    """A Qwen3 model with random weights in float32, embeddings tied, that ends at the tokenizer's end token."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        intermediate_size=shape.intermediate_size,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head_size,
        max_position_embeddings=CONTEXT_LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config)


def train(
    model: Any,
    tokenizer: Any,
    lessons: Callable[[random.Random], Lesson],
    schedule: Schedule,
    *,
    seed: int,
    after_step: Callable[[int, float], bool] | None = None,
) -> int:
    """Train on the replies of fresh lessons, AdamW, cross-entropy per learned token.

    Args:
        lessons: makes one from a random generator; every step has a generator of its own.
        after_step: called with the number of steps done and the loss (nats/token); True ends the training.

    Returns:
        Number of steps done.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, betas=(0.9, 0.95), weight_decay=0.01)
    for step in range(schedule.max_steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        rng = random.Random(f"lessons:{seed}:{step}")
        model.train()
        loss = 0.0
        batches = _batches(tokenizer, [lessons(rng) for _ in range(schedule.batch_size)])
        num_learned = sum(int((labels_BT != _IGNORED).sum()) for _, labels_BT in batches)
        for ids_BT, labels_BT in batches:
            # Padding is on the right here, so causal attention never sees it and no mask is needed.
            hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state[:, :-1]
            learned_BT = labels_BT[:, 1:] != _IGNORED
            part = cross_entropy(model.lm_head(hidden_BTD[learned_BT]), labels_BT[:, 1:][learned_BT], reduction="sum")
            (part / num_learned).backward()
            loss += part.item() / num_learned
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if after_step is not None and after_step(step + 1, loss):
            return step + 1
    return schedule.max_steps


def exact_match(model: Any, tokenizer: Any, questions: Sequence[Question]) -> float:
    """Share of questions whose greedy answer ends in the right number, 0..1."""
    answers = complete(model, tokenizer, [question.text for question in questions], max_new_tokens=MAX_ANSWER_TOKENS)
    return sum(map(is_correct, questions, answers)) / len(questions)


def complete(
    model: Any, tokenizer: Any, messages: Sequence[str], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
) -> list[str]:
    """The model's reply to each message."""
    completions = generate(
        model,
        [prompt_ids(tokenizer, message) for message in messages],
        seeds=[seed + index for index in range(len(messages))],
        max_new_tokens=max_new_tokens,
        eos_ids=[tokenizer.eos_token_id],
        pad_id=tokenizer.pad_token_id,
        temperature=temperature,
        batch_size=128,
    )
    return [tokenizer.decode(completion.ids, skip_special_tokens=True) for completion in completions]


def prompt_ids(tokenizer: Any, message: str) -> list[int]:
    """A user's message in the chat template, up to where the assistant begins."""
    conversation = [{"role": "user", "content": message}]
    text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _batches(tokenizer: Any, lessons: Sequence[Lesson]) -> list[tuple[Tensor, Tensor]]:
    """Token ids and labels, (B,T) each, of rows of similar length; what is not learned has the ignored label."""
    rows = sorted((_encode(tokenizer, lesson) for lesson in lessons), key=lambda row: len(row[0]))
    groups = list[list[tuple[list[int], list[int]]]]()
    for row in rows:
        if not groups or len(row[0]) > _WIDEST * len(groups[-1][0][0]):
            groups.append([])
        groups[-1].append(row)
    return [_pad(group, tokenizer.pad_token_id) for group in groups]


def _encode(tokenizer: Any, lesson: Lesson) -> tuple[list[int], list[int]]:
    ids = prompt_ids(tokenizer, lesson.message)
    text = "".join(piece.text for piece in lesson.reply)
    learned = [piece.learned for piece in lesson.reply for _ in piece.text]
    reply = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    # A token of several digits may hold one that is not to be learned.
    labels = [
        token if all(learned[start:stop]) else _IGNORED
        for token, (start, stop) in zip(reply["input_ids"], reply["offset_mapping"], strict=True)
    ]
    end = tokenizer.eos_token_id
    return [*ids, *reply["input_ids"], end], [*[_IGNORED] * len(ids), *labels, end]


def _pad(rows: Sequence[tuple[list[int], list[int]]], pad_id: int) -> tuple[Tensor, Tensor]:
    width = max(len(ids) for ids, _ in rows)
    ids_BT = torch.full((len(rows), width), pad_id)
    labels_BT = torch.full((len(rows), width), _IGNORED)
    for row, (ids, labels) in enumerate(rows):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        labels_BT[row, : len(labels)] = torch.tensor(labels)
    return ids_BT, labels_BT
