"""The rows of the table: which model of which trial each one shows, and in which group it stands.

A new method is a `Trial` and a `Row` here; the run itself, the intervals and the picture come by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from opd.bench.methods import chat, logit
from opd.bench.methods.lab import Lab
from opd.bench.methods.trials import Trial, write_prompts
from opd.config import BaselineConfig, RunConfig
from opd.demo.settings import demo_config
from opd.demo.task import train_prompts

Group = Literal["logit", "chat", "regime"]
NUM_MANY_PROMPTS = 1_119


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        trial: where it is read from; several rows may share one.
        subject: before, sft or after of that trial.
    """

    name: str
    groups: tuple[Group, ...]
    about: str
    trial: Trial
    subject: Literal["before", "sft", "after"] = "after"


@dataclass(frozen=True)
class Comparison:
    """Two rows that answer a question together, compared question by question and seed by seed."""

    row: str
    than: str
    about: str


def without_baseline(config: RunConfig) -> RunConfig:
    """The same run alone: imitation stands in the table once."""
    return config.model_copy(update={"baseline": BaselineConfig(enabled=False)})


def _full_distribution(lab: Lab) -> RunConfig:
    return demo_config(seed=lab.seed)


def _many_prompts(lab: Lab) -> RunConfig:
    config = demo_config(seed=lab.seed)
    path = write_prompts(lab.folder / "many_prompts.jsonl", list(train_prompts(NUM_MANY_PROMPTS)))
    return config.model_copy(update={"data": config.data.model_copy(update={"path": str(path)})})


FULL_DISTRIBUTION = Trial("full_distribution", _full_distribution)
MANY_PROMPTS = Trial("many_prompts", _many_prompts)

ROWS: tuple[Row, ...] = (
    Row("start", ("logit", "chat", "regime"), "the student as it is", FULL_DISTRIBUTION, "before"),
    Row("sft", ("logit", "chat", "regime"), "imitation, tuned learning rate", FULL_DISTRIBUTION, "sft"),
    Row("full_distribution", ("logit", "regime"), "the teacher's law at every token", FULL_DISTRIBUTION),
    Row("served_top20", ("logit",), "its 20 likeliest tokens, over HTTP", logit.SERVED_TOP20),
    Row("served_top8", ("logit",), "its 8 likeliest tokens, over HTTP", logit.SERVED_TOP8),
    Row("cross_tokenizer", ("logit",), "a teacher of larger tokens, many prompts", logit.CROSS_TOKENIZER),
    Row("cross_tokenizer_few", ("logit",), "the same with the demo's prompts", logit.CROSS_TOKENIZER_FEW),
    Row("cross_tokenizer_few_sft", ("logit",), "imitation of that teacher", logit.CROSS_TOKENIZER_FEW, "sft"),
    Row(
        "cross_tokenizer_served",
        ("logit",),
        "a teacher of larger tokens, top-20 over HTTP",
        logit.CROSS_TOKENIZER_SERVED,
    ),
    Row("coarse_start", ("logit",), "a student of larger tokens as it is", logit.CROSS_TOKENIZER_COARSE, "before"),
    Row("cross_tokenizer_coarse", ("logit",), "a student of larger tokens", logit.CROSS_TOKENIZER_COARSE),
    Row("same_tokenizer_coarse", ("logit",), "the same student, a teacher of its tokens", logit.SAME_TOKENIZER_COARSE),
    Row("gold_stock", ("logit",), "TRL's GOLD as it comes, larger tokens, many prompts", logit.GOLD_STOCK),
    Row("gold_patched", ("logit",), "the same with its defects repaired", logit.GOLD_PATCHED),
    Row("white_box", ("chat",), "the same; what text alone is measured against", FULL_DISTRIBUTION),
    Row("expand", ("chat",), f"imitation, with {chat.NUM_WRITTEN} prompts that the teacher wrote", chat.EXPAND),
    Row("mark", ("chat",), "the student's own drafts, marked line by line", chat.MARK),
    Row("expand_mark", ("chat",), "both", chat.EXPAND_MARK),
    Row("contrast", ("chat",), "the teacher's answers against the student's own texts (ORPO)", chat.CONTRAST),
    Row("guided", ("chat",), "a guide that the teacher wrote", chat.GUIDED),
    Row("sft_many_prompts", ("regime",), f"imitation of {NUM_MANY_PROMPTS:,} answers", MANY_PROMPTS, "sft"),
    Row("many_prompts", ("regime",), f"the teacher's law, {NUM_MANY_PROMPTS:,} prompts", MANY_PROMPTS),
)

COMPARISONS: tuple[Comparison, ...] = (
    Comparison("full_distribution", "sft", "On-policy or imitation, with few prompts?"),
    Comparison("served_top20", "full_distribution", "What does a list of 20 cost?"),
    Comparison("served_top8", "full_distribution", "What does a list of 8 cost?"),
    Comparison("served_top20", "start", "What does a list of 20 teach?"),
    Comparison("served_top8", "start", "What does a list of 8 teach?"),
    Comparison("cross_tokenizer", "start", "What does a teacher of larger tokens teach?"),
    Comparison("cross_tokenizer_served", "cross_tokenizer", "What does its list of 20 cost?"),
    Comparison("cross_tokenizer_few", "cross_tokenizer_few_sft", "Or imitation of it, with few prompts?"),
    Comparison("cross_tokenizer_coarse", "same_tokenizer_coarse", "What do smaller tokens of the teacher cost?"),
    Comparison("gold_stock", "start", "What does TRL's GOLD teach?"),
    Comparison("gold_patched", "start", "And with its defects repaired?"),
    Comparison("white_box", "start", "What does a teacher teach whose law is seen?"),
    Comparison("expand", "sft", "What are prompts worth that the teacher writes?"),
    Comparison("mark", "sft", "What are marks on the student's own drafts worth?"),
    Comparison("expand_mark", "start", "What do both teach, from text alone?"),
    Comparison("expand_mark", "white_box", "Both, or a teacher whose law is seen?"),
    Comparison("contrast", "sft", "What is contrast worth beside imitation?"),
    Comparison("many_prompts", "sft_many_prompts", "On-policy or imitation, with many prompts?"),
    Comparison("sft_many_prompts", "full_distribution", "Rather more prompts than the better method?"),
)


def chosen_rows(only: Group | None = None, names: tuple[str, ...] = ()) -> list[Row]:
    """Rows of one group, or these by name, in the table's order."""
    return [row for row in ROWS if (only is None or only in row.groups) and (not names or row.name in names)]
