"""Whether two models understand each other: template, tokenizer, vocabulary, end of turn, thinking, context.

In: both `TokenizerFolder`s. Out: rows, each ok, warn or fail, with a code and what to do. Nothing is loaded or asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from opd.errors import OPDError
from opd.teachers.tokenizer_folder import TokenizerFolder

Status = Literal["ok", "warn", "fail"]
# Things that tokenizers treat differently: digits, spaces, lines, capitals, accents, other scripts, code.
PROBE_TEXTS = (
    "Revenue rose 12.5 % to $1,234,567 in 2025; margins fell from 31 to 27.",
    "Let x = (a + b) * 3;\n\n\tif x >= 10:\n        return  x",
    "Ünïcödé, naïve café – “quotes” … 你好，世界 🙂 мир",
    "antidisestablishmentarianism tokenization REVENUE eBITDA don't",
)
PROBE_CONVERSATIONS: tuple[tuple[Mapping[str, str], ...], ...] = (
    ({"role": "user", "content": "What is 17 + 25?"},),
    ({"role": "system", "content": "You are a terse analyst."}, {"role": "user", "content": PROBE_TEXTS[0]}),
    (
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": PROBE_TEXTS[1]},
    ),
)


@dataclass(frozen=True)
class Row:
    """One thing that was looked at. `code` is stable; `fix` is empty when ok."""

    id: str
    status: Status
    code: str
    title: str
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Pair:
    """What the rows below are about. `across`: the run can train across tokenizers."""

    student: TokenizerFolder
    teacher: TokenizerFolder
    across: bool = True

    @cached_property
    def same_tokenizer(self) -> bool:
        """Whether every text gets the same ids: the probe set is divided alike and names have one id."""
        return not self.different_tokens() and all(
            self.student.encode(text) == self.teacher.encode(text) for text in PROBE_TEXTS
        )

    def different_tokens(self) -> list[str]:
        """Names that both vocabularies have under different ids, or that only one has of the common range."""
        mine, theirs = self.student.vocabulary, self.teacher.vocabulary
        moved = [name for name, index in mine.items() if theirs.get(name, index) != index]
        names_of_theirs = {index: name for name, index in theirs.items()}
        replaced = [
            name for name, index in mine.items() if name not in theirs and names_of_theirs.get(index, name) != name
        ]
        return moved + replaced


GOLD_ACROSS = Row(
    "gold",
    "warn",
    "gold_across_tokenizers",
    "GOLD across tokenizers",
    "It is experimental and can destroy the student: where numbers are divided differently it cannot tell right "
    "from wrong.",
    "Choose the objective divergence: it compares texts (prefix marginalisation) and is the tested way.",
)


def check_pair(pair: Pair) -> list[Row]:
    """All rows that need both models' files."""
    looks: list[Callable[[Pair], Row]] = [_template, _tokenizer, _vocabulary, _end_of_turn, _thinking]
    return [guarded(look, pair) for look in looks]


def guarded(look: Callable[[Pair], Row], pair: Pair) -> Row:
    """A look's row, or its error as one."""
    try:
        return look(pair)
    except OPDError as error:
        name = look.__name__.strip("_")
        return Row(name, "fail", error.code, name.replace("_", " ").capitalize(), error.message, error.hint)


def _template(pair: Pair) -> Row:
    title = "Chat template"
    for conversation in PROBE_CONVERSATIONS:
        mine, theirs = (side.render(conversation) for side in (pair.student, pair.teacher))
        if mine != theirs:
            return Row(
                "template",
                "warn",
                "template_differs",
                title,
                f"They render conversations differently: {_difference(mine, theirs)}.",
                "Nothing has to be done across tokenizers, where each model reads its own template. With one "
                "tokenizer, prefer two models of one family: the teacher reads the student's rendering.",
            )
    return Row("template", "ok", "template_same", title, "Both render conversations alike.")


def _tokenizer(pair: Pair) -> Row:
    title = "Tokenizer"
    if pair.same_tokenizer:
        return Row("tokenizer", "ok", "tokenizer_same", title, f"One tokenizer of {pair.student.num_tokens:,} tokens.")
    equal_width = pair.student.facts.vocab_size == pair.teacher.facts.vocab_size
    shared = sum(1 for name, index in pair.student.vocabulary.items() if pair.teacher.vocabulary.get(name) == index)
    found = f"{pair.student.num_tokens:,} and {pair.teacher.num_tokens:,} tokens, {shared:,} with the same id"
    detail = (
        f"Both models have {pair.student.facts.vocab_size:,} outputs, but their tokens differ ({found})."
        if equal_width
        else f"Their tokens differ ({found})."
    )
    return Row(
        "tokenizer",
        "warn" if pair.across else "fail",
        "tokenizer_differs_same_width" if equal_width else "tokenizer_differs",
        title,
        detail,
        "The run compares texts instead of tokens (prefix marginalisation). For the plain comparison take two models "
        "of one family."
        if pair.across
        else "Take two models of one family, or an objective that works across tokenizers.",
    )


def _vocabulary(pair: Pair) -> Row:
    title = "Vocabulary"
    for side, who in ((pair.student, "student"), (pair.teacher, "teacher")):
        if 0 < side.facts.vocab_size < side.num_tokens:
            return Row(
                "vocabulary",
                "fail",
                "vocabulary_too_small",
                title,
                f"The {who} has {side.facts.vocab_size:,} outputs, its tokenizer {side.num_tokens:,} tokens.",
                "Weights and tokenizer are of different models; fetch the folder again.",
            )
    mine = pair.student.facts.vocab_size
    theirs = pair.teacher.facts.vocab_size or pair.teacher.num_tokens  # a tokenizer alone knows of no outputs
    if mine != theirs and pair.same_tokenizer:
        return Row(
            "vocabulary",
            "ok",
            "vocabulary_padded",
            title,
            f"{mine:,} and {theirs:,} outputs for the same {pair.student.num_tokens:,} tokens: the rest is padding.",
        )
    return Row("vocabulary", "ok", "vocabulary_fits", title, f"{mine:,} and {theirs:,} outputs.")


def _end_of_turn(pair: Pair) -> Row:
    title = "End of an answer"
    for side, who in ((pair.student, "student"), (pair.teacher, "teacher")):
        end = side.end_of_turn
        if not side.eos_ids:
            return Row(
                "end_of_turn",
                "fail",
                "eos_missing",
                title,
                f"The {who} declares no end token, so no answer would ever end.",
                "Add eos_token_id to its generation_config.json, or take the instruct version.",
            )
        if end is not None and end not in side.eos_ids:
            named = ", ".join(f"{side.text_of([token])!r} ({token})" for token in side.eos_ids)
            return Row(
                "end_of_turn",
                "fail",
                "eos_mismatch",
                title,
                f"The {who}'s template ends a turn with {side.text_of([end])!r} ({end}), but it stops at {named}: "
                "answers would run on to their longest length.",
                f"Set eos_token_id in {side.folder.name}/generation_config.json to {[end, *side.eos_ids]}, or take the "
                "instruct version of this model.",
            )
    if pair.same_tokenizer and not set(pair.student.eos_ids) & set(pair.teacher.eos_ids):
        return Row(
            "end_of_turn",
            "fail",
            "eos_mismatch",
            title,
            f"The student ends answers with {list(pair.student.eos_ids)}, the teacher with "
            f"{list(pair.teacher.eos_ids)}: the teacher would hold every end for a mistake.",
            f"Set eos_token_id in {pair.student.folder.name}/generation_config.json to {list(pair.teacher.eos_ids)}, "
            "or take models of one kind (both instruct).",
        )
    return Row("end_of_turn", "ok", "eos_fits", title, "Both end their answers where their templates do.")


def _thinking(pair: Pair) -> Row:
    title = "Thinking"
    suffixes = [side.render(PROBE_CONVERSATIONS[0]).rpartition("17 + 25?")[2] for side in (pair.student, pair.teacher)]
    opens = ["<think>" in suffix and "</think>" not in suffix for suffix in suffixes]
    knows = ["<think>" in side.vocabulary for side in (pair.student, pair.teacher)]
    if opens[0] != opens[1] or knows[0] != knows[1]:
        who = "teacher" if (opens[1], knows[1]) > (opens[0], knows[0]) else "student"
        return Row(
            "thinking",
            "warn",
            "think_tags_differ",
            title,
            f"Only the {who} {'opens its answers with' if opens[0] != opens[1] else 'has a token for'} <think>.",
            "A teacher that expects to think first finds direct answers unlikely, and the other way round: take two "
            "models that both think or both do not.",
        )
    return Row(
        "thinking", "ok", "think_tags_fit", title, "Both think alike." if all(knows) else "Neither thinks first."
    )


def check_context(
    pair: Pair, conversations: Sequence[Sequence[Mapping[str, Any]]], max_completion_tokens: int, teacher_context: int
) -> Row:
    """Whether the longest prompt and completion fit into both models.

    Args:
        conversations: the longest of the run's prompts.
        teacher_context: tokens that the teacher reads; 0 where it does not say.
    """
    title = "Context length"
    for side, who, context in (
        (pair.student, "student", pair.student.facts.context_length),
        (pair.teacher, "teacher", teacher_context or pair.teacher.facts.context_length),
    ):
        longest = max(len(side.encode(side.render(messages))) for messages in conversations)
        needed = longest + max_completion_tokens
        if context and needed > context:
            return Row(
                "context",
                "fail",
                "context_short",
                title,
                f"The longest prompt ({longest:,} tokens) and a completion of {max_completion_tokens:,} are "
                f"{needed:,} tokens; the {who} reads {context:,}.",
                "Lower sampling.max_completion_tokens, shorten the longest prompts, or "
                + ("take a student" if who == "student" else "start the teacher")
                + " with a longer context.",
            )
    return Row("context", "ok", "context_fits", title, "The longest prompt and completion fit into both models.")


def _difference(mine: str, theirs: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
    start = max(0, place - 10)
    return f"student {mine[start : place + 25]!r}, teacher {theirs[start : place + 25]!r}"
