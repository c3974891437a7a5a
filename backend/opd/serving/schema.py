"""Requests of the OpenAI-compatible endpoint, with vLLM's additions. What is not served is refused, not ignored."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Request(BaseModel):
    """What both kinds of completion have in common."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    model: str
    """Name under which the model is served."""
    max_tokens: int | None = Field(None, ge=0)
    """Longest completion."""
    temperature: float = Field(1.0, ge=0, le=5)
    """0 takes the likeliest token; 1 samples from the model as it is."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Smallest set of tokens with at least this probability; 1 keeps all."""
    n: int = Field(1, ge=1, le=64)
    """Completions of each prompt."""
    seed: int | None = None
    """Equal seed, equal text. None: drawn by the server."""
    stop: str | list[str] | None = None
    """Texts before which to stop."""
    stream: bool = False
    """Send text as it is written (server-sent events)."""
    stream_options: dict[str, Any] | None = None
    """`include_usage`: a last chunk with the usage."""
    user: str | None = None
    """Accepted for clients that send it; not used."""
    frequency_penalty: Literal[0] = 0
    """Only 0 is served."""
    presence_penalty: Literal[0] = 0
    """Only 0 is served."""
    return_token_ids: bool = False
    """Also give prompt and completion as token ids."""

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings, empty ones left out."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)


class CompletionRequest(_Request):
    """POST /v1/completions."""

    prompt: str | list[int] | list[str] | list[list[int]]
    """Text or token ids, one or several."""
    echo: bool = False
    """Give the prompt back, with its log-probabilities if `logprobs` is set."""
    logprobs: int | None = Field(None, ge=0)
    """Likeliest tokens to list at each written (with `echo` also each given) token."""
    prompt_logprobs: int | None = Field(None, ge=0)
    """Likeliest tokens to list at each token of the prompt. 0: only the token's own."""
    add_special_tokens: bool = True
    """For prompts as text: add the tokenizer's own beginning."""


class ChatMessage(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: str
    content: str
    name: str | None = None


class ChatRequest(_Request):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1)
    """The conversation so far."""
    max_completion_tokens: int | None = Field(None, ge=1)
    """The newer name of `max_tokens`."""
    chat_template_kwargs: dict[str, Any] = {}
    """Passed to the chat template, such as enable_thinking."""
