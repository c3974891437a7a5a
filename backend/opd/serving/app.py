"""The endpoint itself: `create_serving_app` for a folder, `serve` for the command.

GET  /v1/models             what is served
POST /v1/chat/completions   answers, also as a stream
POST /v1/completions        completions and scores of given tokens (`prompt_logprobs`, `echo` with `logprobs`)
GET  /health                a sign of life
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from opd.errors import BusyError, InputError, OPDError
from opd.serving.answers import chat_answer, completion_answer, envelope, usage_of
from opd.serving.engine import Engine
from opd.serving.errors import RefusedError
from opd.serving.guard import LOOPBACK_NAMES, ServingGuard
from opd.serving.loading import ServedModel, find_served, load_served
from opd.serving.schema import ChatRequest, CompletionRequest
from opd.serving.service import Part, Service
from opd.serving.writing import Written

_LEAST_TOKEN = 16


def create_serving_app(
    model: str | Path | ServedModel,
    *,
    name: str | None = None,
    token: str | None = None,
    hosts: Sequence[str] | None = LOOPBACK_NAMES,
    device: str = "auto",
    dtype: str = "auto",
) -> ASGIApp:
    """The ASGI application that serves one model.

    Args:
        model: a folder, a Hugging Face id, or a model that is loaded already.
        name: under which it is offered; None: the folder's name.
        token: bearer token that every request must carry; None: none is needed.
        hosts: names under which the server may be addressed; None: any.

    Raises:
        ModelNotFoundError, UnsafeModelError, ModelMismatchError: from loading.
    """
    served = model if isinstance(model, ServedModel) else load_served(model, device=device, dtype=dtype)
    service = Service(Engine(served), name or Path(served.facts.path).name)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.engine.close()

    app = FastAPI(title="opd serve", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    _add_errors(app)
    _add_routes(app, service)
    return ServingGuard(app, token=token, hosts=hosts)


def serve(
    model: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    name: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    runs_dir: Path | None = None,
    on_ready: Callable[[str, str], None] | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        model: a folder, a Hugging Face id, or the name of a run below `runs_dir`.
        port: 0 takes a free one.
        on_ready: called with the address (…/v1) and the model's name once requests are answered.

    Raises:
        InputError: another host than loopback without a token.
        BusyError: the port is taken.
        ModelNotFoundError, UnsafeModelError, ModelMismatchError, NotFoundError: from loading.
    """
    import uvicorn

    local = _is_loopback(host)
    if not local and (token is None or len(token) < _LEAST_TOKEN):
        raise InputError(
            f"Serving on {host} lets other machines in, and there is no token of at least {_LEAST_TOKEN} characters.",
            hint="Give a token, or serve on 127.0.0.1 and tunnel to it (ssh -L).",
        )
    with _listen(host, port) as listener:
        found = find_served(model, runs_dir)
        offered = name or (Path(model).resolve().name if Path(model).is_dir() else model)
        app = create_serving_app(
            found, name=offered, token=token, hosts=LOOPBACK_NAMES if local else None, device=device, dtype=dtype
        )
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}/v1"
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
        if on_ready is not None:
            on_ready(address, offered)
        server.run(sockets=[listener])


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [service.model_entry()]}

    @app.get("/v1/models/{model:path}")
    async def model(model: str) -> dict[str, Any]:
        if model != service.name:
            raise RefusedError(404, f"The model `{model}` does not exist.", code="model_not_found", param="model")
        return service.model_entry()

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(request: ChatRequest) -> Response:
        parts = service.chat_parts(request)
        if request.stream:
            return _as_events(_chat_chunks(service, request, parts))
        return JSONResponse(chat_answer(service, request, parts, await service.write(parts)))

    @app.post("/v1/completions", response_model=None)
    async def completions(request: CompletionRequest) -> Response:
        parts = service.completion_parts(request)
        if request.stream:
            return _as_events(_completion_chunks(service, request, parts))
        return JSONResponse(await completion_answer(service, request, parts, await service.write(parts)))


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return error.as_response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != "body")
        message = "not served here" if first["type"] == "extra_forbidden" else first["msg"]
        return RefusedError(400, f"{field}: {message}", code="invalid_request", param=field).as_response()

    @app.exception_handler(OPDError)
    async def failed(_: Request, error: OPDError) -> Response:
        return RefusedError(500, error.message, code=error.code).as_response()


async def _chat_chunks(service: Service, request: ChatRequest, parts: list[Part]) -> AsyncIterator[dict[str, Any]]:
    base = envelope(service, "chat.completion.chunk", [])
    for part in parts:
        yield _chunk(base, part.index, {"role": "assistant", "content": ""}, None)
    written: list[Written] = []
    async for index, item in service.stream(parts):
        if isinstance(item, Written):
            written.append(item)
            yield _chunk(base, index, {}, item.finish_reason)
        else:
            yield _chunk(base, index, {"content": item}, None)
    if (request.stream_options or {}).get("include_usage"):
        yield {**base, "usage": usage_of(parts, written, request.n)}


def _chunk(base: dict[str, Any], index: int, delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    return {**base, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}]}


async def _completion_chunks(
    service: Service, request: CompletionRequest, parts: list[Part]
) -> AsyncIterator[dict[str, Any]]:
    base = envelope(service, "text_completion", [])
    written: list[Written] = []
    async for index, item in service.stream(parts):
        finish = item.finish_reason if isinstance(item, Written) else None
        text = "" if isinstance(item, Written) else item
        if isinstance(item, Written):
            written.append(item)
        yield {**base, "choices": [{"index": index, "text": text, "logprobs": None, "finish_reason": finish}]}
    if (request.stream_options or {}).get("include_usage"):
        yield {**base, "usage": usage_of(parts, written, request.n)}


def _as_events(chunks: AsyncIterator[dict[str, Any]]) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        try:
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk)}\n\n"
            yield "data: [DONE]\n\n"
        except (RefusedError, OPDError) as error:
            body = {"error": {"message": str(error), "type": "server_error", "code": error.code}}
            yield f"data: {json.dumps(body)}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-cache"})


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise BusyError(
            f"Port {port} of {host} cannot be used: {error.strerror}.", hint="Choose another one with --port."
        ) from None
    listener.listen(128)
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
