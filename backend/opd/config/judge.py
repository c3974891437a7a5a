"""The judge: a chat model that reads answers which nothing else can check."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from opd.config.teachers import ChatModel


class JudgeConfig(ChatModel):
    """A chat model that compares answers before and after, blind and in both orders. Paid from the run's own cap."""

    model: str = Field("", max_length=200)
    """Provider and model of the judge, for example anthropic/claude-3.5-sonnet or local/…. Empty: nothing is judged."""
    max_prompts: int = Field(100, ge=1, le=10_000)
    """Held-out prompts judged at most; each takes two questions for every model that is compared."""
    criteria: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field((), max_length=20)
    """What a good answer does, one thing each; the share that is met is the rubric score. Empty: no rubric."""
    may_be_the_teacher: bool = False
    """Let the teacher judge its own student. Off: a model prefers answers that are like its own."""

    def num_questions(self, num_prompts: int, num_students: int) -> tuple[int, int]:
        """The most questions that judging takes: (pairs of answers, answers by criteria); equal answers need none.

        Args:
            num_prompts: held-out prompts of the run.
            num_students: models that are compared, the trained one included.
        """
        if not self.model:
            return 0, 0
        num_judged = min(num_prompts, self.max_prompts)
        return 2 * num_judged * (num_students - 1), num_judged * num_students if self.criteria else 0
