"""Writing completions for several requests at once: sampling, stop strings, and text as it comes.

In: jobs with equal temperature and top_p. Out: what was written for each, in order. A row's randomness comes from its
own seed, so the same request gives the same text whoever else is in the batch.

Legend: B rows, P padded prompt length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch

from opd.serving.loading import ServedModel
from opd.training.decoding import make_decoder, sample

FinishReason = Literal["stop", "length"]
_HALF_CHARACTER = "�"


@dataclass(frozen=True)
class Written:
    """One completion. `ids` holds the end token if one was written; `text` never does, nor the stop string."""

    ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason
    stop_reason: str | int | None
    """The stop string, or None for an end token or the length."""


class Request(Protocol):
    """What is asked for; `opd.serving.engine.WriteJob` is one."""

    ids: Sequence[int]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    on_text: Callable[[str], None] | None
    is_cancelled: bool


@dataclass
class _Line:
    """A completion while it is written."""

    request: Request
    tokenizer: Any
    eos_ids: frozenset[int]
    ids: list[int] = field(default_factory=list)
    sent: int = 0
    result: Written | None = None

    def add(self, token: int) -> None:
        self.ids.append(token)
        ended = token in self.eos_ids
        full = len(self.ids) >= self.request.max_tokens
        if not (ended or full or self.request.stop or self.request.on_text):
            return
        text = self._text()
        cut = min((place for stop in self.request.stop if (place := text.find(stop)) >= 0), default=-1)
        if cut >= 0:
            stop = next(stop for stop in self.request.stop if text.startswith(stop, cut))
            self._finish(text[:cut], "stop", stop)
        elif ended or full:
            self._finish(text, "stop" if ended else "length", None)
        elif self.request.on_text is not None:
            self._send(text[: self._safe_length(text)])

    def end_early(self) -> None:
        """Nobody waits for it any more, or nothing was to be written."""
        self._finish(self._text(), "length", None)

    def _text(self) -> str:
        return str(self.tokenizer.decode(self.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _safe_length(self, text: str) -> int:
        """How much of the text later tokens cannot change: no half character, no beginning of a stop string."""
        length = len(text.rstrip(_HALF_CHARACTER))
        for stop in self.request.stop:
            for size in range(min(len(stop) - 1, length), 0, -1):
                if text.endswith(stop[:size], 0, length):
                    length = min(length, length - size)
                    break
        return length

    def _send(self, text: str) -> None:
        if self.request.on_text is not None and len(text) > self.sent:
            self.request.on_text(text[self.sent :])
            self.sent = len(text)

    def _finish(self, text: str, reason: FinishReason, stop: str | None) -> None:
        self._send(text)
        self.result = Written(tuple(self.ids), text, reason, stop)


@torch.inference_mode()
def write_batch(served: ServedModel, requests: Sequence[Request]) -> list[Written]:
    """Complete every request.

    Raises:
        ValueError: the requests differ in temperature or top_p.
    """
    temperature, top_p = requests[0].temperature, requests[0].top_p
    if any((request.temperature, request.top_p) != (temperature, top_p) for request in requests):
        raise ValueError("Requests of one batch must have one temperature and one top_p.")
    lines = [_Line(request, served.tokenizer, frozenset(served.eos_ids)) for request in requests]
    for line in lines:
        if line.request.max_tokens == 0:
            line.end_early()
    rows = [i for i, line in enumerate(lines) if line.result is None]
    if rows:
        _write(served, lines, rows, temperature, top_p)
    return [line.result for line in lines if line.result is not None]


def _write(served: ServedModel, lines: list[_Line], rows: list[int], temperature: float, top_p: float) -> None:
    prompts = [list(lines[i].request.ids) for i in rows]
    most = max(lines[i].request.max_tokens for i in rows)
    width = max(map(len, prompts))
    pad = int(served.tokenizer.pad_token_id or 0)
    ids_BP = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=served.device)
    mask_BP = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=served.device)
    generators = {i: torch.Generator().manual_seed(lines[i].request.seed) for i in rows}
    decoder = make_decoder(served.model)
    logits_BV = decoder.start(ids_BP, mask_BP, most)
    while True:
        uniforms = [torch.rand((), generator=generators[i], dtype=torch.float64) for i in rows]
        ids_B = sample(logits_BV, torch.stack(uniforms).to(served.device), temperature, top_p)
        for i, token in zip(rows, ids_B.tolist(), strict=True):
            lines[i].add(token)
            if lines[i].request.is_cancelled and lines[i].result is None:
                lines[i].end_early()
        open_rows = [place for place, i in enumerate(rows) if lines[i].result is None]
        if not open_rows:
            return
        if len(open_rows) < len(rows):
            kept = torch.tensor(open_rows, device=served.device)
            decoder.keep(kept)
            ids_B, rows = ids_B[kept], [rows[place] for place in open_rows]
        logits_BV = decoder.step(ids_B)
