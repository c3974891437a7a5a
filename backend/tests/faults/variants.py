"""The configurations that are killed: what learns, and who teaches."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fake_provider import FakeProvider, Spoken
from fake_provider.expert import ExpertBrain
from fake_servers import MODEL, Brain, fake_server
from faults.harness import PROMPTS, Torture
from loopback import serving
from opd.demo.bundled import student_dir
from opd.demo.task import held_out_prompts, train_prompts
from tiny import make_model, make_tokenizer

MIXED = {"on_policy_fraction": 0.4, "warm_start": {"steps": 2}}


class Door:
    """Stands before a teacher's server, counts its requests, and may keep it silent from one of them on."""

    def __init__(self) -> None:
        self.num_asked, self.is_silent = 0, threading.Event()
        self._silent_from: float = math.inf
        self._app: Any = None

    def before(self, app: Any) -> Door:
        """Stand there."""
        self._app = app
        return self

    def fall_silent(self, number: int) -> None:
        """Answer so many more requests, and let the ones after them wait for ever."""
        self._silent_from = self.num_asked + number

    def speak(self) -> None:
        """Answer again."""
        self._silent_from = math.inf

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.num_asked += scope.get("method") == "POST"
        if self.num_asked > self._silent_from:
            self.is_silent.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await self._app(scope, receive, send)


@contextmanager
def full_weights(root: Path) -> Iterator[Torture]:
    """All weights, three rows in five written by the teacher, after a warm start."""
    yield Torture(root, **MIXED)


@contextmanager
def adapters(root: Path) -> Iterator[Torture]:
    """The same with adapters."""
    student = {"model": str(root / "student"), "training": "lora", "lora": {"rank": 4, "alpha": 8}}
    yield Torture(root, student=student, **MIXED)


@contextmanager
def served_teacher(root: Path, door: Door | None = None) -> Iterator[Torture]:
    """A teacher behind a server, which scores over HTTP."""
    app = fake_server("vllm", Brain(make_model(seed=5), make_tokenizer()))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of the server, which is this process; two would wait for each other beside a run
    try:
        with serving(door.before(app) if door else app) as url:
            yield Torture(root, teacher={"type": "server", "base_url": f"{url}/v1", "model": MODEL})
    finally:
        torch.set_num_threads(threads)


class UnhurriedExpert(ExpertBrain):
    """Takes its time, so that kills find calls under way."""

    async def speak(self, messages: list[dict[str, Any]], most: int, temperature: float, seed: int) -> Spoken:
        await asyncio.sleep(0.03)
        return await super().speak(messages, most, temperature, seed)


@contextmanager
def paid_teacher(root: Path, door: Door | None = None) -> Iterator[Torture]:
    """A chat teacher that answers before the first step and marks what the student writes between steps."""
    for name, rows in {"train": train_prompts(PROMPTS), "held_out": held_out_prompts(3)}.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    provider = FakeProvider(UnhurriedExpert())
    with serving(door.before(provider) if door else provider) as url:
        teacher = {
            "type": "chat", "model": "local/tiny", "base_url": f"{url}/v1", "reply_form": "lines",
            "max_concurrency": 2, "input_usd_per_million": 1.0, "output_usd_per_million": 10.0,
        }  # fmt: skip
        yield Torture(
            root,
            num_billed=lambda: len(provider.invoice.lines),
            student={"model": str(student_dir())},
            teacher=teacher,
            data={
                "path": str(root / "train.jsonl"), "test_path": str(root / "held_out.jsonl"),
                "answer_match": "last_number",
            },
            objective={"type": "mark", "refresh_every": 2, "drafts": 3},
            sampling={"max_completion_tokens": 40},
            budget_usd=1.0,
            **MIXED,
        )  # fmt: skip


VARIANTS = {
    "full weights, lambda 0.4": full_weights,
    "adapters, lambda 0.4": adapters,
    "served teacher": served_teacher,
    "paid teacher, lambda 0.4": paid_teacher,
}
