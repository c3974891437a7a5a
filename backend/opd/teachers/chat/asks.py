"""What a chat teacher is asked: one parcel, which is also its own key in the answer cache.

In: messages, how to write, which of several answers, and what it is for. Out: a cache key. Nothing else may decide
about an answer, so nothing else is in the key: not the run, not the time, not who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opd.store.money import request_key
from opd.teachers.base import AnswerSampling, Message
from opd.teachers.chat.endpoints import Endpoint

_MESSAGE_OVERHEAD = 32
_REQUEST_OVERHEAD = 64
_SAMPLING = AnswerSampling()


@dataclass(frozen=True)
class Ask:
    """One question to a chat teacher.

    `purpose` says what the answer is for (answer, expand, mark, …) and `prompt_version` names the instruction's file
    and version (such as `mark.v1`); a changed instruction is another question even where its text happens to be equal.
    """

    messages: tuple[Message, ...]
    sampling: AnswerSampling = _SAMPLING
    sample: int = 0
    """Which of several answers to the same messages: 0, 1, 2, …"""
    purpose: str = "answer"
    prompt_version: str = ""

    def key(self, endpoint: Endpoint) -> str:
        """Where the answer is kept: equal keys, equal question to the same model at the same place."""
        sampling = self.sampling
        return request_key(
            {
                "api": endpoint.api,
                "address": endpoint.base_url,
                "model": endpoint.model,
                "messages": plain_messages(self.messages),
                "temperature": float(sampling.temperature),
                "top_p": float(sampling.top_p),
                "max_output": self.max_output_tokens(endpoint),
                "seed": sampling.seed,
                "purpose": self.purpose,
                "prompt_version": self.prompt_version,
            },
            sample=self.sample,
        )

    def max_input_tokens(self) -> int:
        """An upper bound: no tokenizer makes more tokens than there are UTF-8 bytes, but for its template's own."""
        texts = sum(len(str(part).encode("utf-8", "surrogatepass")) for m in self.messages for part in m.values())
        return texts + _MESSAGE_OVERHEAD * len(self.messages) + _REQUEST_OVERHEAD

    def max_output_tokens(self, endpoint: Endpoint) -> int:
        """What the model may write, thinking included."""
        return self.sampling.max_tokens + endpoint.thinking_tokens


def plain_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Role and content of each message: what every API takes."""
    return [{"role": str(message["role"]), "content": str(message["content"])} for message in messages]
