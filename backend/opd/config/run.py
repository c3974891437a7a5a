"""`RunConfig`: one run, and what may not be combined in it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Literal

import yaml
from pydantic import AliasChoices, Field, model_validator

from opd.config.base import SIGNAL_WORDS, Config
from opd.config.data import DataConfig
from opd.config.judge import JudgeConfig
from opd.config.models import StudentConfig
from opd.config.objectives import DivergenceObjective, Objective, objective_needs
from opd.config.stages import (
    AnswersConfig,
    BaselineConfig,
    CheckpointConfig,
    EvaluationConfig,
    ExpansionConfig,
    SamplingConfig,
    WarmStartConfig,
)
from opd.config.teachers import Teacher, usual_objectives

# Settings that are younger than runs and measurements which people keep: at their defaults they change no digest.
_YOUNGER = ("checkpoints", "regression", "regression_path", "judge")


class RunConfig(Config):
    """One run: student, teacher, data, objective and how long."""

    name: str = Field("", max_length=120)
    """A name for people. Empty: made from the models' names."""
    student: StudentConfig
    teacher: Teacher
    data: DataConfig
    objective: Objective = DivergenceObjective()
    on_policy_fraction: float = Field(1.0, ge=0, le=1, validation_alias=AliasChoices("on_policy_fraction", "lambda"))
    """Lambda: share of training on the student's own text; the rest is on the teacher's answers."""
    max_steps: int = Field(200, ge=1, le=10_000_000)
    """Optimizer steps of the distillation stage."""
    batch_size: int = Field(16, ge=1, le=65536)
    """Completions per optimizer step."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Completions in memory at once. None: as many as fit. Changes memory and time, never the result's mathematics."""
    learning_rate: float | None = Field(None, gt=0, lt=1)
    """Peak learning rate. None: 1e-4 with adapters, 1e-5 when all weights learn."""
    warmup_steps: int | None = Field(None, ge=0)
    """Steps over which the learning rate rises. None: 5 % of max_steps."""
    lr_schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Course of the learning rate after warm-up. linear and cosine end at 0."""
    weight_decay: float = Field(0.0, ge=0, le=1)
    """AdamW's decoupled weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients with a larger norm are scaled down to this."""
    sampling: SamplingConfig = SamplingConfig()
    expansion: ExpansionConfig = ExpansionConfig()
    answers: AnswersConfig = AnswersConfig()
    warm_start: WarmStartConfig = WarmStartConfig()
    baseline: BaselineConfig = BaselineConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    seed: int = Field(0, ge=0, lt=2**31)
    """One number decides order, sampling and initial adapters. The same seed on the same machine gives the same run."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the models run. auto: a GPU if there is one."""
    num_threads: int | None = Field(None, ge=1)
    """CPU threads; pinned, as another number changes the last bits. None: OMP_NUM_THREADS, else the physical cores."""
    budget_usd: float | None = Field(None, gt=0, le=1_000_000)
    """Spend cap in US dollars for a paid teacher; the run pauses before it would be passed. None: no paid calls."""
    budget_tokens: int | None = Field(None, ge=1, le=100_000_000_000)
    """Cap in tokens, input and output together, for a teacher whose price is not known. None: dollars are capped."""

    @model_validator(mode="after")
    def _one_kind_of_cap(self) -> RunConfig:
        if self.budget_usd is not None and self.budget_tokens is not None:
            raise ValueError("cap the run by budget_usd or by budget_tokens, not by both")
        return self

    @model_validator(mode="before")
    @classmethod
    def _usual_objective(cls, given: Any) -> Any:
        """Where no objective is named, the teacher's kind chooses: the richest that it can serve."""
        if isinstance(given, dict) and given.get("objective") is None and isinstance(given.get("teacher"), dict):
            usual = usual_objectives().get(str(given["teacher"].get("type")))
            return given if usual is None else {**given, "objective": {"type": usual}}
        return given

    @model_validator(mode="after")
    def _samples_are_the_students(self) -> RunConfig:
        if self.objective.type == "policy_gradient" and self.on_policy_fraction < 1:
            raise ValueError(
                "objective policy_gradient learns from the student's own samples only: set on_policy_fraction (lambda) "
                "to 1, or choose topk_forward_kl"
            )
        return self

    @model_validator(mode="after")
    def _signal_fits_objective(self) -> RunConfig:
        need, teacher = self.objective.needs, self.teacher
        if need not in teacher.provides:
            fitting = [
                o
                for o, n in objective_needs().items()
                if n in teacher.provides and (n == "text") == (teacher.type == "chat")
            ] or ["none yet"]
            raise ValueError(
                f"objective {self.objective.type} needs the teacher's {SIGNAL_WORDS[need]}, "
                f"but a {teacher.type} teacher gives {', '.join(SIGNAL_WORDS[s] for s in teacher.provides)}; "
                f"objectives for this teacher: {', '.join(fitting)}; or choose another kind of teacher"
            )
        return self

    @model_validator(mode="after")
    def _the_judge_is_somebody_else(self) -> RunConfig:
        judge = self.evaluation.judge
        if judge.model and not judge.may_be_the_teacher and _bare_name(judge.model) == _bare_name(self.teacher.model):
            raise ValueError(
                f"evaluation.judge.model is the teacher itself ({self.teacher.model}), and a model prefers answers "
                "that are like its own; choose another judge, or set evaluation.judge.may_be_the_teacher"
            )
        return self

    @model_validator(mode="after")
    def _lambda_says_what_is_done(self) -> RunConfig:
        if self.objective.type == "imitation" and self.on_policy_fraction:
            raise ValueError(
                "imitation never trains on the student's own text, but on_policy_fraction is "
                f"{self.on_policy_fraction:g}; set it to 0, or choose the objective mark"
            )
        return self

    @model_validator(mode="after")
    def _only_a_chat_teacher_is_asked_for_more(self) -> RunConfig:
        if self.teacher.type != "chat" and (self.objective.needs == "text" or self.expansion.num_prompts):
            raise ValueError(
                f"a {self.teacher.type} teacher is read token by token; written prompts and the objective "
                f"{self.objective.type} are for a chat teacher: set expansion.num_prompts to 0 and the objective to "
                "divergence, or name the model as a chat teacher (`opd serve` makes one of any model folder)"
            )
        return self

    @property
    def shows_imitation(self) -> bool:
        """Whether a student that only imitated the teacher's answers is measured beside the trained one."""
        return self.baseline.enabled or (self.warm_start.steps > 0 and self.objective.needs == "text")

    def as_yaml(self) -> str:
        """The complete configuration as YAML; reads back to an equal `RunConfig`."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def digest(self) -> str:
        """SHA-256 over the canonical JSON form: equal digests mean equal runs (on equal software and data)."""
        data = self.model_dump(mode="json")
        if self.teacher.type == "server" and self.teacher.input_usd_per_million is None:
            del data["teacher"]["input_usd_per_million"], data["teacher"]["output_usd_per_million"]
        for name in _YOUNGER:
            value = getattr(self.evaluation, name)
            if value == getattr(EvaluationConfig(), name) or (isinstance(value, JudgeConfig) and not value.model):
                del data["evaluation"][name]
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return sha256(text.encode()).hexdigest()


def _bare_name(model: str) -> str:
    """The model's own name, whoever sells it and whatever its tag: openrouter/openai/gpt-4o:free is gpt-4o."""
    return model.strip().rpartition("/")[2].partition(":")[0].lower()
