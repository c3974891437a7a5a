"""Who answers: the bundled teacher model, or a function of the question where what is said does not matter."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Spoken:
    """An answer and what it cost in tokens."""

    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int


class Brain(Protocol):
    """Answers a conversation."""

    async def speak(self, messages: list[dict[str, Any]], most: int, temperature: float, seed: int) -> Spoken: ...


class BundledBrain:
    """The bundled teacher through the engine of `opd serve`."""

    def __init__(self) -> None:
        from opd.demo.bundled import chat_teacher_dir
        from opd.serving.engine import Engine
        from opd.serving.loading import load_served
        from opd.serving.service import Service

        self._service = Service(Engine(load_served(chat_teacher_dir(), device="cpu")), "bundled")

    async def speak(self, messages: list[dict[str, Any]], most: int, temperature: float, seed: int) -> Spoken:
        from opd.serving.schema import ChatMessage, ChatRequest

        request = ChatRequest(
            model="bundled",
            messages=[ChatMessage(role=m["role"], content=m["content"]) for m in messages],
            max_tokens=most,
            temperature=temperature,
            seed=seed,
        )
        parts = self._service.chat_parts(request)
        (written,) = await self._service.write(parts)
        return Spoken(written.text, written.finish_reason, len(parts[0].ids), len(written.ids))

    def close(self) -> None:
        """End its thread."""
        self._service.engine.close()


class CountingBrain:
    """Counts words as tokens and answers with a digest of the question, after `latency_s`."""

    def __init__(self, latency_s: float = 0.0):
        self.latency_s = latency_s

    async def speak(self, messages: list[dict[str, Any]], most: int, temperature: float, seed: int) -> Spoken:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        text = " ".join(str(message["content"]) for message in messages)
        words = hashlib.sha256(f"{seed} {text}".encode()).hexdigest()
        answer = " ".join(words[i : i + 8] for i in range(0, 24, 8))
        return Spoken(answer, "stop", len(text.split()) + 4, min(3, most))
