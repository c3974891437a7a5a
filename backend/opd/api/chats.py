"""The playground: a finished run's student beside the one it began as and its teacher, asked the same thing.

The models live in a process of their own (`opd.chat_jobs`); this room opens it, tells how far it is, and passes
questions and answers on. Answers come as lines of JSON while they are written; closing the request stops the model.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.responses import StreamingResponse

from opd.api.base import ApiModel, ErrorBody, RunIdInPath, errors
from opd.api.deps import Studio, get_studio
from opd.chat_jobs import Line
from opd.config import RunConfig
from opd.events import RunFailure
from opd.store.chats import ChatRecord, Voice, Who, read_chat
from opd.store.runs import RunFolder

router = APIRouter(prefix="/api/runs", tags=["chats"])
StudioDep = Annotated[Studio, Depends(get_studio)]

ChatState = Literal["closed", "open", "idle", "failed"]


class Chat(ApiModel):
    """A conversation with a run's models, and how the run let its student write."""

    run_id: str
    state: ChatState
    """closed: the models are not loaded. idle: they were let go because nobody asked anything. failed: see `error`."""
    voices: list[Voice]
    """Who answers, and whether each is loaded yet."""
    error: RunFailure | None
    no_teacher: str
    """Why the teacher does not answer here; empty where it does."""
    temperature: float
    top_p: float
    max_tokens: int
    idle_s: float
    """Seconds without a question after which the models are let go."""


class Turn(ApiModel):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=200_000)


class Question(ApiModel):
    """What to ask one of the models."""

    who: Who
    messages: list[Turn] = Field(min_length=1, max_length=200)
    """The conversation so far; the model's own chat template makes a prompt of it."""
    temperature: float = Field(1.0, ge=0, le=2)
    """0 takes the likeliest token; 1 samples from the model as it is."""
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(512, ge=1, le=131_072)
    """Longest answer."""


class TextPiece(ApiModel):
    """Some more text of the answer."""

    type: Literal["text"] = "text"
    text: str


class EndPiece(ApiModel):
    """The answer is complete."""

    type: Literal["end"] = "end"
    finish_reason: Literal["stop", "length"]
    """length: it was cut at the longest answer."""
    num_tokens: int
    seconds: float


class FailedPiece(ApiModel):
    """The answer could not be written, or not to its end."""

    type: Literal["failed"] = "failed"
    error: ErrorBody


class ChatPiece(ApiModel):
    """One line of an answer."""

    piece: TextPiece | EndPiece | FailedPiece = Field(discriminator="type")


class PiecesResponse(StreamingResponse):
    """Lines of JSON, each a `ChatPiece`, as they come."""

    media_type = "application/x-ndjson"


@router.get("/{run_id}/chat", operation_id="getChat", responses=errors(404))
def get_chat(run_id: RunIdInPath, studio: StudioDep) -> Chat:
    """How far the models of a conversation are loaded."""
    return _describe(studio, studio.store.get(run_id))


@router.post("/{run_id}/chat", operation_id="openChat", responses=errors(404, 409))
def open_chat(run_id: RunIdInPath, studio: StudioDep) -> Chat:
    """Load the run's models. While a run is at work on the device that is refused: it would take its memory."""
    run = studio.store.get(run_id)
    studio.jobs.refuse_if_busy(run.config())
    studio.chats.open(run)
    return _describe(studio, run)


@router.delete("/{run_id}/chat", operation_id="closeChat", responses=errors(404))
def close_chat(run_id: RunIdInPath, studio: StudioDep) -> Chat:
    """Let the models go."""
    run = studio.store.get(run_id)
    studio.chats.close(run_id)
    return _describe(studio, run)


@router.post(
    "/{run_id}/chat/ask",
    operation_id="askInChat",
    responses={
        **errors(404),
        200: {"description": "Lines of JSON.", "content": {PiecesResponse.media_type: {"schema": {"type": "string"}}}},
        426: {"model": ChatPiece, "description": "Never answered here: what each line of a 200 holds."},
    },
)
def ask_in_chat(run_id: RunIdInPath, question: Question, studio: StudioDep) -> PiecesResponse:
    """Ask one of the models. The answer comes as it is written, one `ChatPiece` a line."""
    line = studio.chats.line(studio.store.get(run_id))

    async def lines() -> AsyncIterator[str]:
        async for piece in answer(line, question):
            yield ChatPiece(piece=piece).model_dump_json() + "\n"

    return PiecesResponse(lines())


async def answer(line: Line, question: Question) -> AsyncIterator[TextPiece | EndPiece | FailedPiece]:
    """One model's answer; leaving the iterator closes the connection, which stops the model."""
    import httpx2  # an HTTP client: only for whom it is needed

    began = time.monotonic()
    asked = question.model_dump(exclude={"who"})
    body = {**asked, "model": question.who, "stream": True, "stream_options": {"include_usage": True}}
    finish: Literal["stop", "length"] = "stop"
    num_tokens = 0
    try:
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=httpx2.Timeout(None, connect=10)) as client,
            client.stream(
                "POST",
                f"{line.address}/{question.who}/v1/chat/completions",
                json=body,
                headers={"authorization": f"Bearer {line.token}"},
            ) as reply,
        ):
            if reply.status_code != 200:
                yield _refused(json.loads(await reply.aread()))
                return
            async for text in reply.aiter_lines():
                data = text.removeprefix("data: ")
                if not data or data == "[DONE]":
                    continue
                chunk = json.loads(data)
                if "error" in chunk:
                    yield _refused(chunk)
                    return
                num_tokens = chunk.get("usage", {}).get("completion_tokens", num_tokens)
                for choice in chunk["choices"]:
                    finish = choice["finish_reason"] or finish
                    if written := choice["delta"].get("content"):
                        yield TextPiece(text=written)
    except (httpx2.HTTPError, ValueError, KeyError):
        yield _failed("chat_interrupted", "The model stopped in the middle of its answer.", _ASK_AGAIN)
        return
    yield EndPiece(finish_reason=finish, num_tokens=num_tokens, seconds=time.monotonic() - began)


_ASK_AGAIN = "Ask again; if the conversation has been closed, open it again."
_HINTS = {
    "context_length_exceeded": "Begin a new conversation, or allow a shorter answer.",
    "not_loaded": "Wait until it is loaded.",
    "template_refused": "Begin a new conversation; this model's template does not take this one.",
}


def _refused(reply: dict[str, Any]) -> FailedPiece:
    """A refusal of the serving process in the studio's words; only what it says about itself is passed on."""
    error = reply["error"]
    return _failed(str(error["code"]), str(error["message"]), _HINTS.get(error["code"], _ASK_AGAIN))


def _failed(code: str, message: str, hint: str) -> FailedPiece:
    return FailedPiece(error=ErrorBody(code=code, message=message, hint=hint, details={}))


def _describe(studio: Studio, run: RunFolder) -> Chat:
    config = run.config()
    record = read_chat(run)
    sampling = config.sampling
    return Chat(
        run_id=run.run_id,
        state=_state(record),
        voices=record.voices if record else [],
        error=record.error if record else None,
        no_teacher=_no_teacher(config),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_completion_tokens,
        idle_s=studio.chats.idle_s,
    )


def _state(record: ChatRecord | None) -> ChatState:
    if record is None:
        return "closed"
    return record.end or "open"


def _no_teacher(config: RunConfig) -> str:
    if config.teacher.type == "local":
        return ""
    if config.teacher.type == "server":
        return "The teacher of this run is a server, which is not asked here."
    return "The teacher of this run is a paid API, which is not asked here. Its recorded answers are in the run."
