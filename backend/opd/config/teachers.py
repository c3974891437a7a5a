"""The kinds of teacher, and the signals that each can give.

A new kind is a class here, a member of `Teacher`, and a file in `opd/teachers/`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator

from opd.config.base import Config, SignalKind

_Priced = TypeVar("_Priced", bound="ServerTeacher | ChatModel")


def _with_both_prices(model: _Priced) -> _Priced:
    if (model.input_usd_per_million is None) != (model.output_usd_per_million is None):
        raise ValueError("type both input_usd_per_million and output_usd_per_million, or neither")
    return model


class LocalTeacher(Config):
    """A model on this machine: the whole next-token distribution is available."""

    provides: ClassVar[tuple[SignalKind, ...]] = ("distribution", "topk_logprobs", "token_logprobs", "text")
    usual_objective: ClassVar[str] = "divergence"
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
    usual_objective: ClassVar[str] = "topk_reverse_kl"
    type: Literal["server"] = "server"
    """A server that scores given tokens: vLLM, SGLang, Fireworks, Together or `opd serve`."""
    base_url: str = Field(min_length=1)
    """Address of the server, for example http://127.0.0.1:8000/v1."""
    model: str = Field(min_length=1)
    """Name of the model on that server."""
    dialect: Literal["vllm", "sglang", "fireworks", "together"] = "vllm"
    """How the server is asked for log-probabilities. `opd serve` speaks vllm."""
    tokenizer: str | None = None
    """The teacher's tokenizer: a folder with tokenizer.json and tokenizer_config.json (no weights needed), that
    tokenizer.json, or a Hugging Face id. None: the student's tokenizer, which the probe then proves."""
    timeout_s: float = Field(120.0, gt=0)
    """Deadline of one request, in seconds, retries not included."""
    max_concurrency: int = Field(8, ge=1, le=256)
    """Requests under way at once."""
    input_usd_per_million: float | None = Field(None, ge=0, le=1000)
    """Price of a million input tokens, typed by you. None: from the dated price data for the fireworks and together
    dialects; nothing is paid to a server on this machine or its network, or one of the other dialects."""
    output_usd_per_million: float | None = Field(None, ge=0, le=1000)
    """Price of a million output tokens, typed by you. None: as for input."""

    @model_validator(mode="after")
    def _a_price_has_two_sides(self) -> Self:
        return _with_both_prices(self)


class ChatModel(Config):
    """A model behind a chat API: where it is asked, what that costs, how much is asked at once."""

    model: str = Field(min_length=1)
    """Provider and model, for example openai/gpt-4o-mini, anthropic/claude-3.5-sonnet, openrouter/… or local/…."""
    base_url: str | None = None
    """Address of an OpenAI-compatible server. None: the provider's own. Only the key named `local` is sent there."""
    input_usd_per_million: float | None = Field(None, ge=0, le=1000)
    """Price of a million input tokens, typed by you. None: from the dated price data."""
    output_usd_per_million: float | None = Field(None, ge=0, le=1000)
    """Price of a million output tokens, typed by you. None: from the dated price data."""
    thinking_tokens: int = Field(0, ge=0, le=131072)
    """Output tokens that a reasoning model may use on top of the answer's length; they are billed as output."""
    timeout_s: float = Field(120.0, gt=0, le=3600)
    """Deadline of one request to its last byte, in seconds. A later answer counts as possibly paid."""
    max_concurrency: int = Field(8, ge=1, le=256)
    """Requests under way at once; fewer for a while when the provider says that it is busy."""

    @model_validator(mode="after")
    def _a_price_has_two_sides(self) -> Self:
        return _with_both_prices(self)


class ChatTeacher(ChatModel):
    """A chat API: it returns answers and no log-probabilities of given text."""

    provides: ClassVar[tuple[SignalKind, ...]] = ("text",)
    usual_objective: ClassVar[str] = "mark"
    type: Literal["chat"] = "chat"
    """A chat API of a provider (OpenAI, Anthropic, OpenRouter) or of a local server (Ollama, LM Studio)."""
    reply_form: Literal["json", "lines"] = "json"
    """How it replies where a reply has parts: JSON, or plain lines for a model too small for JSON (the bundled one)."""


Teacher = Annotated[LocalTeacher | ServerTeacher | ChatTeacher, Field(discriminator="type")]


def usual_objectives() -> dict[str, str]:
    """The objective that a run has where its configuration names none, by kind of teacher."""
    return {cls.model_fields["type"].default: cls.usual_objective for cls in (LocalTeacher, ServerTeacher, ChatTeacher)}


def teacher_provides() -> dict[str, tuple[SignalKind, ...]]:
    """Which signals each kind of teacher can give at best; the probe says what this one really gives."""
    return {cls.model_fields["type"].default: cls.provides for cls in (LocalTeacher, ServerTeacher, ChatTeacher)}
