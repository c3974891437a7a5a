"""What the routes do: requests to jobs, and what the engine gives back to answers in the OpenAI shape.

In: parsed requests. Out: JSON-ready dictionaries, or text as it is written. Knows the engine, not the network.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from opd.errors import BusyError
from opd.serving.engine import Engine, ScoreJob, TokenScores, WriteJob
from opd.serving.errors import RefusedError
from opd.serving.schema import ChatRequest, CompletionRequest
from opd.serving.writing import Written
from opd.training.plan import derive_seed

MAX_LOGPROBS = 256
_DEFAULT_COMPLETION_TOKENS = 16


@dataclass(frozen=True)
class Part:
    """One choice to be made: its number, its prompt and its job."""

    index: int
    ids: list[int]
    job: WriteJob


class Service:
    """One model under one name."""

    def __init__(self, engine: Engine, name: str):
        self.engine, self.name = engine, name
        served = engine.served
        self.tokenizer, self.context_length = served.tokenizer, served.facts.context_length
        self.vocab_size = int(served.model.get_output_embeddings().weight.shape[0])
        self.created = int(time.time())
        self._texts: dict[int, str] = {}

    def model_entry(self) -> dict[str, Any]:
        """The model in the list of models."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "opd-studio",
            "root": self.name,
            "max_model_len": self.context_length or None,
            "max_logprobs": MAX_LOGPROBS,
        }

    def chat_parts(self, request: ChatRequest) -> list[Part]:
        """Jobs of a chat request.

        Raises:
            RefusedError: a wrong model, a prompt that the template or the context does not take.
        """
        self._check_model(request.model)
        ids = self._render(request)
        room = (self.context_length or 2**20) - len(ids)
        wanted = request.max_completion_tokens or request.max_tokens
        return self._parts(request, [ids], room if wanted is None else wanted)

    def completion_parts(self, request: CompletionRequest) -> list[Part]:
        """Jobs of a completion request.

        Raises:
            RefusedError: a wrong model or prompt, or more log-probabilities than are listed.
        """
        self._check_model(request.model)
        for name in ("logprobs", "prompt_logprobs"):
            wanted = getattr(request, name)
            if wanted is not None and wanted > MAX_LOGPROBS:
                message = f"Requested {name} of {wanted}, which is greater than max allowed: {MAX_LOGPROBS}"
                raise RefusedError(400, message, code="too_many_logprobs", param=name)
        if request.stream and (request.prompt_logprobs is not None or request.logprobs is not None or request.echo):
            message = "Log-probabilities and echo are not streamed; set stream to false."
            raise RefusedError(400, message, code="not_streamed", param="stream")
        most = _DEFAULT_COMPLETION_TOKENS if request.max_tokens is None else request.max_tokens
        return self._parts(request, self._prompts(request), most)

    async def write(self, parts: Sequence[Part]) -> list[Written]:
        """Do all jobs.

        Raises:
            RefusedError: too many requests are waiting.
        """
        for part in parts:
            self._submit(part.job)
        return [await asyncio.wrap_future(part.job.future) for part in parts]

    async def score(self, rows: Sequence[tuple[Sequence[int], int]]) -> list[TokenScores]:
        """Log-probabilities of given tokens.

        Raises:
            RefusedError: too many requests are waiting.
        """
        jobs = [ScoreJob(ids, k) for ids, k in rows]
        for job in jobs:
            self._submit(job)
        return [await asyncio.wrap_future(job.future) for job in jobs]

    async def stream(self, parts: Sequence[Part]) -> AsyncIterator[tuple[int, str | Written]]:
        """(choice, text) as it is written, and (choice, `Written`) at the end of each."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[tuple[int, str | Written | BaseException]] = asyncio.Queue()

        def pass_on(index: int, item: str | Written | BaseException) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, (index, item))

        def listen(part: Part) -> None:
            part.job.on_text = lambda text: pass_on(part.index, text)
            part.job.future.add_done_callback(lambda future: pass_on(part.index, future.exception() or future.result()))

        try:
            for part in parts:
                listen(part)
                self._submit(part.job)
            open_parts = len(parts)
            while open_parts:
                index, item = await arrived.get()
                if isinstance(item, BaseException):
                    raise item
                open_parts -= isinstance(item, Written)
                yield index, item
        finally:
            for part in parts:  # the client may have gone
                part.job.is_cancelled = True

    def token_text(self, token: int) -> str:
        """One token's text."""
        if token not in self._texts:
            self._texts[token] = str(self.tokenizer.decode([token]))
        return self._texts[token]

    def _submit(self, job: WriteJob | ScoreJob) -> None:
        try:
            self.engine.submit(job)
        except BusyError as busy:
            raise RefusedError(503, busy.message, code="busy") from None

    def _parts(self, request: CompletionRequest | ChatRequest, prompts: list[list[int]], most: int) -> list[Part]:
        for ids in prompts:
            if self.context_length and len(ids) + most > self.context_length:
                message = (
                    f"This model's maximum context length is {self.context_length} tokens. However, you requested "
                    f"{len(ids) + most} tokens ({len(ids)} in the prompt, {most} in the completion)."
                )
                raise RefusedError(400, message, code="context_length_exceeded", param="max_tokens")
        seed = secrets.randbits(31) if request.seed is None else request.seed
        return [
            Part(
                index=number * request.n + choice,
                ids=ids,
                job=WriteJob(
                    ids=ids,
                    max_tokens=most,
                    temperature=request.temperature,
                    top_p=request.top_p,
                    seed=derive_seed("serve", seed, choice),
                    stop=request.stops,
                ),
            )
            for number, ids in enumerate(prompts)
            for choice in range(request.n)
        ]

    def _prompts(self, request: CompletionRequest) -> list[list[int]]:
        given = request.prompt
        several: list[Any] = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
        prompts = [
            list(self.tokenizer(one, add_special_tokens=request.add_special_tokens)["input_ids"])
            if isinstance(one, str)
            else list(one)
            for one in several
        ]
        for ids in prompts:
            if not ids:
                raise RefusedError(400, "The prompt is empty.", code="prompt_empty", param="prompt")
            if min(ids) < 0 or max(ids) >= self.vocab_size:
                message = f"Token id {min(ids) if min(ids) < 0 else max(ids)} is out of vocabulary ({self.vocab_size})."
                raise RefusedError(400, message, code="token_out_of_vocabulary", param="prompt")
        return prompts

    def _render(self, request: ChatRequest) -> list[int]:
        from jinja2 import TemplateError

        own = set(inspect.signature(self.tokenizer.apply_chat_template).parameters)
        unfit = [name for name in request.chat_template_kwargs if name in own]
        if unfit:
            message = f"chat_template_kwargs may not hold {unfit[0]}."
            raise RefusedError(400, message, code="template_argument", param="chat_template_kwargs")
        messages = [message.model_dump(exclude_none=True) for message in request.messages]
        try:
            ids = self.tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                **request.chat_template_kwargs,
            )
        except TemplateError as error:
            message = f"The chat template does not take this conversation: {error.message}"
            raise RefusedError(400, message, code="template_refused", param="messages") from None
        return [int(token) for token in ids]

    def _check_model(self, name: str) -> None:
        if name != self.name:
            message = f"The model `{name}` does not exist; this server offers `{self.name}`."
            raise RefusedError(404, message, code="model_not_found", param="model")
