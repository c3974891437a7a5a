"""The second part of the recipe: what the bundled teacher learns beside answering, as LoRA adapters of its own.

In: a folder with `teacher/` and `student/`. Out: `chat_teacher/` beside them, adapters in PEFT's form with which the
teacher also writes questions and marks drafts (`skills.py`), and what that model was measured to do. `opd serve` merges
them. The plain teacher, which the white box reads, stays as it is: see docs/adr/0005-chat-skills-are-adapters.md.

Half of the drafts it learns to mark are the student's own: its mistakes are of other kinds than those made up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from opd.demo.lessons import bad_draft, mixed_lesson
from opd.demo.pretraining import MAX_ANSWER_TOKENS, Schedule, complete, exact_match, train
from opd.demo.skills import mark, mark_prompt, parse_written, write_prompt
from opd.demo.task import Question, draw_question, next_lines, questions_of
from opd.serving.adapters import STATE
from opd.serving.loading import load_served
from opd.teachers.tasks.marks import Mark, draft_lines, parse_marks
from opd.training.models import load_tokenizer, load_weights

Drafts = Sequence[tuple[Question, str]]
Progress = Callable[[str], None]

NAME = "chat_teacher"
RANK, ALPHA = 16, 32
# The head as well: the plain teacher has never written a word, and its head knows digits only.
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"]
SCHEDULE = Schedule(max_steps=700, batch_size=48, learning_rate=4e-3, warmup_steps=20, final_share=0.05)
SHARES = (0.1, 0.45, 0.45)  # answering, writing questions, marking drafts
_NUM_MARKED, _NUM_WRITTEN = 200, 200
_DRAFTS_SEED, _TEST_SEED, _SKILLS_SEED = 1, 2, 1_000
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Skills:
    """What a teacher can do beside answering, shares 0..1.

    Attributes:
        lines_marked: lines of the student's drafts that got a right mark, kept ones included.
        mistakes_marked: of those lines that had to be changed, the share that got a right mark.
        spoiled_lines_marked: lines that got a right mark where drafts were spoiled on purpose.
        questions_valid: replies that are a question of the task, at temperature 1.
        questions_distinct: different pairs of amounts among all replies.
    """

    lines_marked: float
    mistakes_marked: float
    spoiled_lines_marked: float
    questions_valid: float
    questions_distinct: float


def build_chat_teacher(
    folder: Path, *, num_drafts: int = 3_000, seed: int = 0, progress: Progress = lambda text: None
) -> dict[str, Any]:
    """Train the adapters of a folder's teacher, write them beside it, and measure what it can do with them.

    Args:
        folder: with `teacher/` and `student/`.
        num_drafts: of the student, to learn marking from.

    Returns:
        The figures, ready for JSON.
    """
    tokenizer = load_tokenizer(folder / "teacher")
    teacher, student = (load_weights(folder / name, torch.float32, _CPU) for name in ("teacher", "student"))
    drafts = student_drafts(student, tokenizer, "train", num_drafts, seed + _DRAFTS_SEED)
    adapted = train_adapters(teacher, tokenizer, drafts, seed=seed, progress=progress)
    save_adapters(adapted, folder / NAME)
    merged = load_served(folder / NAME, device="cpu").model
    tested = student_drafts(student, tokenizer, "held_out", _NUM_MARKED, seed + _TEST_SEED)
    skills = measure_skills(merged, tokenizer, tested)
    report = {
        "num_parameters": sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad),
        "safetensors_bytes": (folder / NAME / STATE).stat().st_size,
        "exact_match": round(exact_match(merged, tokenizer, list(questions_of("held_out"))), 4),
        **asdict(skills),
    }
    progress(
        f"Chat teacher: {report['exact_match']:.1%} of held-out questions, {skills.lines_marked:.1%} of lines marked "
        f"right, {skills.questions_valid:.1%} of written questions valid."
    )
    return report


def student_drafts(student: Any, tokenizer: Any, split: Any, num: int, seed: int) -> list[tuple[Question, str]]:
    """What the student writes to random questions of a split, at temperature 1."""
    rng = random.Random(f"drafts:{split}:{seed}")
    asked = [draw_question(split, rng) for _ in range(num)]
    texts = [question.text for question in asked]
    written = complete(student, tokenizer, texts, max_new_tokens=MAX_ANSWER_TOKENS, temperature=1.0, seed=seed)
    return list(zip(asked, written, strict=True))


def train_adapters(
    teacher: Any,
    tokenizer: Any,
    drafts: Drafts,
    *,
    rank: int = RANK,
    schedule: Schedule | None = None,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    progress: Progress = lambda text: None,
) -> Any:
    """The teacher with adapters at its linear layers and its head, trained on all three kinds of lessons."""
    from peft import LoraConfig, get_peft_model

    planned = schedule or SCHEDULE

    def after_step(steps: int, loss: float) -> bool:
        if steps % 50 == 0:
            progress(f"Chat teacher: step {steps} of {planned.max_steps}, loss {loss:.4f}.")
        return False

    torch.manual_seed(seed + _SKILLS_SEED)  # the adapters' first weights are drawn here
    config = LoraConfig(r=rank, lora_alpha=ALPHA / RANK * rank, target_modules=TARGETS, task_type="CAUSAL_LM")
    adapted = get_peft_model(teacher, config)
    lessons = partial(mixed_lesson, shares=shares, drafts=drafts)
    train(teacher, tokenizer, lessons, planned, seed=seed + _SKILLS_SEED, after_step=after_step)
    return adapted.eval()


def save_adapters(adapted: Any, folder: Path, *, base: str = "../teacher") -> None:
    """Write adapters in PEFT's form, as bfloat16, for the model in the folder `base` beside them."""
    from peft import get_peft_model_state_dict

    settings = adapted.peft_config["default"]
    settings.base_model_name_or_path, settings.inference_mode = base, True
    settings.target_modules = sorted(settings.target_modules)  # PEFT keeps a set, in another order each time
    settings.save_pretrained(folder)
    state = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    tensors = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in sorted(state.items())}
    save_file(tensors, folder / STATE, metadata={"format": "pt"})


def measure_skills(teacher: Any, tokenizer: Any, drafts: Drafts, seed: int = 0) -> Skills:
    """Mark these drafts and spoiled ones of held-out questions, write questions from validation ones, and count."""
    rng = random.Random(f"skills:{seed}")
    spoiled = [(question, bad_draft(question, rng)) for question in islice(questions_of("held_out"), _NUM_MARKED)]
    real, made_up = (_marked(teacher, tokenizer, each) for each in (drafts, spoiled))
    mistakes = [hit for deserved, hit in real if deserved.verdict != "keep"]
    examples = [question.text for question in questions_of("validation")]
    messages = [write_prompt(rng.sample(examples, 3)) for _ in range(_NUM_WRITTEN)]
    replies = complete(teacher, tokenizer, messages, max_new_tokens=MAX_ANSWER_TOKENS, temperature=1.0, seed=seed)
    written = [question for question in map(parse_written, replies) if question is not None]
    distinct = {(question.operation, question.left, question.right) for question in written}
    return Skills(
        lines_marked=_share([hit for _, hit in real]),
        mistakes_marked=_share(mistakes),
        spoiled_lines_marked=_share([hit for _, hit in made_up]),
        questions_valid=round(len(written) / len(replies), 4),
        questions_distinct=round(len(distinct) / len(replies), 4),
    )


def _marked(teacher: Any, tokenizer: Any, drafts: Drafts) -> list[tuple[Mark, bool]]:
    """Each mark that the drafts deserve, and whether the teacher said it or one as good."""
    messages = [mark_prompt(question.text, draft) for question, draft in drafts]
    replies = complete(teacher, tokenizer, messages, max_new_tokens=MAX_ANSWER_TOKENS)
    found = list[tuple[Mark, bool]]()
    for (question, draft), reply in zip(drafts, replies, strict=True):
        found += _hits(question, draft, reply)
    return found


def _hits(question: Question, draft: str, reply: str) -> list[tuple[Mark, bool]]:
    said, lines = parse_marks(draft, reply) or [], draft_lines(draft)

    def good(index: int, deserved: Mark) -> bool:
        if index >= len(said) or said[index].verdict != deserved.verdict:
            return False
        right = next_lines(question, lines[:index]) if index < len(lines) else (deserved.line,)
        return said[index] == deserved or said[index].line in right

    return [(deserved, good(index, deserved)) for index, deserved in enumerate(mark(question, draft))]


def _share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / max(1, len(hits)), 4)
