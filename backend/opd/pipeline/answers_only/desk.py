"""What the stages with a teacher that only answers share: the questions' form, texts of prompts, and telling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from opd.config import ChatTeacher
from opd.data_loader import PromptRecord
from opd.errors import TeacherError
from opd.events import StageFinished
from opd.pipeline.teachers.chat import ChatRunTeacher
from opd.pipeline.workbench import Workbench
from opd.teachers.base import AnswerSampling, Message
from opd.teachers.chat import Ask
from opd.teachers.tasks.asking import SetAside
from opd.teachers.tasks.instructions import Instruction

STRUCTURED_TOKENS = 4096  # room for a JSON reply; nobody pays for what is not written


class NothingWrittenError(TeacherError):
    """A one-time stage came to nothing, and the run cannot go on without it."""

    code = "teacher_wrote_nothing"


def chat_of(bench: Workbench) -> ChatRunTeacher:
    """The run's teacher, which is one that only answers."""
    assert isinstance(bench.teacher, ChatRunTeacher)  # noqa: S101  # the walk comes here with no other
    return bench.teacher


def replies_in_lines(bench: Workbench) -> bool:
    """Whether the teacher is asked in the short form, line by line."""
    teacher = bench.config.teacher
    return isinstance(teacher, ChatTeacher) and teacher.reply_form == "lines"


def instruct(
    form: Instruction, message: str, *, temperature: float, purpose: str, max_tokens: int, seed: int = 0
) -> Ask:
    """A question made of an instruction."""
    said: Message = {"role": "user", "content": message}
    sampling = AnswerSampling(temperature=temperature, max_tokens=max_tokens, seed=seed)
    return Ask((said,), sampling, purpose=purpose, prompt_version=form.label)


def question_of(record: PromptRecord) -> str:
    """The text of a prompt: of one message the message, else the conversation with who said what."""
    if len(record.messages) == 1:
        return record.messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in record.messages)


def last_words(record: PromptRecord) -> str:
    """What the user asked last."""
    return record.messages[-1]["content"]


def tell(bench: Workbench, stage: str, words: str, **numbers: float) -> None:
    """Say once, however often the run resumes, what a stage did."""
    if all(done.stage != stage for done in bench.folder.summary().stages):
        bench.reporter.emit(StageFinished(stage=stage, words=words, numbers=dict(numbers)))


def set_aside_words(problems: Sequence[SetAside]) -> str:
    """How many were set aside and why: " 3 were set aside: 2 × refusal, 1 × …" or nothing."""
    if not problems:
        return ""
    counted = Counter(problem.reason for problem in problems)
    listed = ", ".join(f"{count} × {reason}" for reason, count in counted.most_common(4))
    return f" {len(problems)} {'was' if len(problems) == 1 else 'were'} set aside: {listed}."
