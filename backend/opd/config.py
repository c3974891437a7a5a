"""The run configuration: every setting of a run, its meaning, its default and what it may be combined with.

In: a mapping (YAML, JSON, a form). Out: a frozen, complete `RunConfig`; nothing is filled in later.
Knows nothing of models, files, processes or key values: a configuration can be checked without loading anything.
The docstring under a field is also the help text on the page (through the JSON Schema).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from opd.errors import ConfigError

# What may be repeated of a key that we do not know: a typo, but not a secret in the wrong place.
_FIELD_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")

SignalKind = Literal["distribution", "topk_logprobs", "token_logprobs", "text"]


class Config(BaseModel):
    """Base of all settings: frozen, unknown keys refused, field docstrings kept as help."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class LoraConfig(Config):
    """Low-rank adapters (Hu et al. 2021): train a few million weights instead of all of them."""

    rank: int = Field(32, ge=1, le=1024)
    """Rank of the update. Higher learns more and needs more memory."""
    alpha: int = Field(64, ge=1)
    """Scale of the update; the effective factor is alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of adapter inputs dropped while training. 0 keeps the step deterministic."""


class StudentConfig(Config):
    """The model that is trained."""

    model: str = Field(min_length=1)
    """A folder with a causal language model (safetensors), or a Hugging Face id such as Qwen/Qwen3-0.6B."""
    revision: str | None = None
    """Branch, tag or commit of a Hugging Face id. None takes the default branch."""
    training: Literal["auto", "lora", "full"] = "auto"
    """Which weights learn: adapters (lora), all (full), or full below 1 B parameters where memory allows (auto)."""
    lora: LoraConfig = LoraConfig()
    """Adapter settings; used when training is lora."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights while training. auto: bfloat16 on GPUs that support it, else float32."""


class LocalTeacher(Config):
    """A model on this machine: the whole next-token distribution is available."""

    provides: ClassVar[tuple[SignalKind, ...]] = ("distribution", "topk_logprobs", "token_logprobs", "text")
    type: Literal["local"] = "local"
    """A model folder or Hugging Face id, run on this machine."""
    model: str = Field(min_length=1)
    """A folder with a causal language model (safetensors), or a Hugging Face id such as Qwen/Qwen3-4B."""
    revision: str | None = None
    """Branch, tag or commit of a Hugging Face id. None takes the default branch."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the teacher's weights. auto: as the student's."""


class ServerTeacher(Config):
    """A scoring server: it returns log-probabilities of token ids that are sent to it."""

    provides: ClassVar[tuple[SignalKind, ...]] = ("topk_logprobs", "token_logprobs", "text")
    type: Literal["server"] = "server"
    """A server that scores given tokens: vLLM, SGLang, Fireworks, Together or `opd serve`."""
    base_url: str = Field(min_length=1)
    """Address of the server, for example http://127.0.0.1:8000/v1."""
    model: str = Field(min_length=1)
    """Name of the model on that server."""
    dialect: Literal["vllm", "sglang", "fireworks", "together"] = "vllm"
    """How the server is asked for log-probabilities. `opd serve` speaks vllm."""
    tokenizer: str | None = None
    """Folder or id of the teacher's tokenizer. None: the student's tokenizer, which the probe then proves."""
    timeout_s: float = Field(120.0, gt=0)
    """Deadline of one request, in seconds, retries not included."""
    max_concurrency: int = Field(8, ge=1, le=256)
    """Requests under way at once."""


class ChatTeacher(Config):
    """A chat API: it returns answers and no log-probabilities of given text."""

    provides: ClassVar[tuple[SignalKind, ...]] = ("text",)
    type: Literal["chat"] = "chat"
    """A chat API of a provider (OpenAI, Anthropic, OpenRouter) or of a local server (Ollama, LM Studio)."""
    model: str = Field(min_length=1)
    """Provider and model, for example openai/gpt-4o-mini, anthropic/claude-3.5-sonnet, openrouter/… or local/…."""
    base_url: str | None = None
    """Address of an OpenAI-compatible server. None: the provider's own."""
    max_concurrency: int = Field(8, ge=1, le=256)
    """Requests under way at once."""


Teacher = Annotated[LocalTeacher | ServerTeacher | ChatTeacher, Field(discriminator="type")]


class DataConfig(Config):
    """The prompts, and how they are divided."""

    path: str = Field(min_length=1)
    """JSONL file of chat prompts, one object with `messages` a line."""
    test_path: str | None = None
    """Separate file of held-out prompts. None: `test_fraction` of `path` is held out."""
    test_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of prompts held out for the verdict. Ignored when `test_path` is given."""
    validation_path: str | None = None
    """Separate file on which the baseline's learning rate is chosen. None: a part of the training prompts."""
    answer_match: Literal["none", "exact", "numeric", "last_number", "regex"] = "none"
    """How an answer is checked against the prompt's `answer` field. none: the prompts have no checkable answer."""
    answer_pattern: str | None = None
    """Regular expression whose first group is the answer; needed when answer_match is regex."""

    @model_validator(mode="after")
    def _pattern_goes_with_regex(self) -> DataConfig:
        if (self.answer_match == "regex") != (self.answer_pattern is not None):
            raise ValueError("answer_pattern is needed when answer_match is regex, and only then")
        return self


class DivergenceObjective(Config):
    """Generalized Jensen-Shannon divergence over the whole vocabulary (Agarwal et al. 2023, arXiv 2306.13649)."""

    needs: ClassVar[SignalKind] = "distribution"
    type: Literal["divergence"] = "divergence"
    """Match the teacher's whole next-token distribution at every token that the student wrote."""
    beta: float = Field(1.0, ge=0, le=1)
    """0 is forward KL(teacher‖student), 1 is reverse KL(student‖teacher), between them the Jensen-Shannon mixture."""


class GoldObjective(Config):
    """TRL's GOLDTrainer (experimental upstream)."""

    needs: ClassVar[SignalKind] = "distribution"
    type: Literal["gold"] = "gold"
    """Train through TRL's GOLDTrainer: slower, kept for comparison and for its users."""
    beta: float = Field(1.0, ge=0, le=1)
    """0 is forward KL, 1 is reverse KL."""


Objective = Annotated[DivergenceObjective | GoldObjective, Field(discriminator="type")]


class WarmStartConfig(Config):
    """A short supervised stage on the teacher's answers before distillation."""

    steps: int = Field(0, ge=0)
    """Optimizer steps of the warm start. 0 skips it; it pays with many prompts and eats steps with few."""
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    """Peak learning rate of the warm start."""


class BaselineConfig(Config):
    """Plain imitation of the teacher's answers with the same number of steps: what distillation has to beat."""

    enabled: bool = False
    """Train the baseline too and show it in the verdict. Costs about half a run more."""
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    """Candidates; the best on validation prompts is used, so that the comparison is honest."""


class SamplingConfig(Config):
    """How the student writes its completions."""

    temperature: float = Field(1.0, gt=0, le=2)
    """1 samples from the student as it is. Anything else is no longer exactly on-policy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """1 keeps all tokens. Anything else is no longer exactly on-policy."""
    max_completion_tokens: int = Field(512, ge=1, le=131072)
    """Longest completion. Longer ones are cut, and counted as truncated."""


class CheckpointConfig(Config):
    """When the run is saved and how much is kept."""

    every_steps: int = Field(50, ge=1)
    """A verified checkpoint each so many steps."""
    keep: int = Field(2, ge=2)
    """Verified checkpoints kept; at least 2, so that a damaged one never costs the run."""


class EvaluationConfig(Config):
    """What is measured on held-out prompts."""

    enabled: bool = True
    """Measure before and after, and give a verdict."""
    max_prompts: int = Field(500, ge=1)
    """Held-out prompts used at most."""
    probe_prompts: int = Field(3, ge=0, le=16)
    """Held-out prompts whose answers are recorded while the run goes on, so that you can read them."""
    probe_every_steps: int = Field(25, ge=1)
    """How often those answers are recorded."""


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
    warm_start: WarmStartConfig = WarmStartConfig()
    baseline: BaselineConfig = BaselineConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    seed: int = Field(0, ge=0, lt=2**31)
    """One number decides order, sampling and initial adapters. The same seed on the same machine gives the same run."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the models run. auto: a GPU if there is one."""
    num_threads: int | None = Field(None, ge=1)
    """CPU threads; pinned, because another number changes the last bits. None: the number of physical cores."""
    budget_usd: float | None = Field(None, gt=0)
    """Spend cap in US dollars for a paid teacher; the run pauses before it would be passed. None: no paid calls."""

    @model_validator(mode="after")
    def _signal_fits_objective(self) -> RunConfig:
        need, teacher = self.objective.needs, self.teacher
        if need not in teacher.provides:
            fitting = [o for o, n in objective_needs().items() if n in teacher.provides] or ["none yet"]
            raise ValueError(
                f"objective {self.objective.type} needs the teacher's {SIGNAL_WORDS[need]}, "
                f"but a {teacher.type} teacher gives {', '.join(SIGNAL_WORDS[s] for s in teacher.provides)}; "
                f"objectives for this teacher: {', '.join(fitting)}; or choose another kind of teacher"
            )
        return self

    def as_yaml(self) -> str:
        """The complete configuration as YAML; reads back to an equal `RunConfig`."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def digest(self) -> str:
        """SHA-256 over the canonical JSON form: equal digests mean equal runs (on equal software and data)."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return sha256(text.encode()).hexdigest()


SIGNAL_WORDS: dict[SignalKind, str] = {
    "distribution": "full next-token distribution",
    "topk_logprobs": "top-k log-probabilities",
    "token_logprobs": "log-probabilities of the sampled tokens",
    "text": "answers (text)",
}


def objective_needs() -> dict[str, SignalKind]:
    """Which signal each objective needs: the table that forms and refusals are made from."""
    return {cls.model_fields["type"].default: cls.needs for cls in (DivergenceObjective, GoldObjective)}


def teacher_provides() -> dict[str, tuple[SignalKind, ...]]:
    """Which signals each kind of teacher can give at best; the probe says what this one really gives."""
    return {cls.model_fields["type"].default: cls.provides for cls in (LocalTeacher, ServerTeacher, ChatTeacher)}


def parse_config(data: Mapping[str, Any]) -> RunConfig:
    """Check a mapping and complete it.

    Raises:
        ConfigError: with one line per field path, and without echoing the values (they may hold secrets).
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        fields = field_errors(error)
        lines = "\n".join(f"  {f['path']}: {f['message']}" for f in fields)
        count = f"{len(fields)} setting{'s' if len(fields) > 1 else ''}"
        raise ConfigError(
            f"{count} of this configuration cannot be used:\n{lines}",
            hint="Correct them and start again; nothing was started. See docs/cli.md or `opd train --help`.",
            details={"fields": fields},
        ) from None


def field_errors(error: ValidationError) -> list[dict[str, str]]:
    """Field paths and messages of a validation error, never the values."""
    return describe_problems(error.errors(include_input=False, include_url=False))


def describe_problems(
    items: Sequence[Mapping[str, Any]], *, skip: int = 0, whole: str = "(whole configuration)"
) -> list[dict[str, str]]:
    """Pydantic's error items as {path, message, type}, without anything that was sent.

    Args:
        skip: leading parts of each location that are no field (FastAPI's "body" or "query").
        whole: the path where fields do not go together.
    """
    found = []
    for item in items:
        message = str(item["msg"]).removeprefix("Value error, ")
        if item["type"] == "union_tag_invalid":  # the original quotes the value
            message = f"type should be one of {item['ctx']['expected_tags']}"
        found.append({"path": _field_path(item["loc"][skip:]) or whole, "message": message, "type": str(item["type"])})
    return found


def _field_path(location: Sequence[int | str]) -> str:
    """Dotted path; the kind of teacher or objective, which pydantic puts in, is no field and is left out."""
    parts: list[str] = []
    for part in location:
        above = parts[-1] if parts else ""
        tags = [*teacher_provides()] if above == "teacher" else [*objective_needs()] if above == "objective" else []
        if part not in tags:
            parts.append(str(part) if _FIELD_NAME.fullmatch(str(part)) else "(unknown key)")
    return ".".join(parts)


def load_config(path: str | Path) -> RunConfig:
    """Read a YAML (or JSON) file. Relative paths inside it are taken from the file's own folder.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds settings that cannot be used.
    """
    file = Path(path)
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read {file}: {error.strerror}.", hint="Give the path of a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}", hint="See examples/local.yaml.") from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"{file} holds {type(data).__name__}, expected a mapping of settings.", hint="See examples/local.yaml."
        )
    return resolve_paths(parse_config(data), file.resolve().parent)


def resolve_paths(config: RunConfig, base: Path) -> RunConfig:
    """Make relative data and model paths absolute where they exist below `base`; ids are left as they are."""

    def absolute(value: str | None) -> str | None:
        if value is None:
            return None
        candidate = base / Path(value).expanduser()
        return str(candidate.resolve()) if candidate.exists() else value

    data = config.data.model_copy(
        update={key: absolute(getattr(config.data, key)) for key in ("path", "test_path", "validation_path")}
    )
    update: dict[str, Any] = {
        "data": data,
        "student": config.student.model_copy(update={"model": absolute(config.student.model)}),
    }
    if isinstance(config.teacher, LocalTeacher):
        update["teacher"] = config.teacher.model_copy(update={"model": absolute(config.teacher.model)})
    return config.model_copy(update=update)
