"""An expert behind a chat API on loopback: answers, writes and marks the demo's task without a mistake, and counts.

It speaks OpenAI's wire format and both reply forms. What it cannot do it says in prose, as a chat model would.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request

from loopback import serving
from opd.demo.skills import mark
from opd.demo.task import draw_question, parse_question, solve
from opd.teachers.tasks.marks import parts_of, render_marks

RULES = {"rules": ["Work out the units first.", "State the carry in every line.", "Put the digits together last."]}


class Expert:
    """Counts requests by what they ask for; `spoil` turns replies into something else first."""

    def __init__(self) -> None:
        self.url, self.counts, self.bodies = "", Counter[str](), list[dict[str, Any]]()
        self.spoil = lambda kind, reply: reply

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> dict[str, Any]:
            body = await request.json()
            self.bodies.append(body)
            kind, reply = reply_to(body["messages"][-1]["content"])
            self.counts[kind] += 1
            reply = self.spoil(kind, reply)
            usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
            choice = {"index": 0, "message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
            return {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}

        return app


@contextmanager
def expert() -> Iterator[Expert]:
    """Serve one."""
    found = Expert()
    with serving(found.app()) as found.url:
        yield found


def reply_to(message: str) -> tuple[str, str]:
    """What is asked for, and the reply."""
    rng = random.Random(message)
    head, _, rest = message.partition("\n")
    if head == "Mark each line:":
        question, _, draft = rest.partition("\n")
        found = parse_question(question)
        assert found is not None
        return "mark", render_marks(mark(found, draft))
    if head.startswith("Write another question"):
        return "expand", draw_question("train", rng).text
    if "new\nprompts of the same kind" in message:
        return "expand", json.dumps({"prompts": [draw_question("train", rng).text for _ in range(5)]})
    if message.startswith("You are an expert who corrects"):
        return "mark", _json_marks(message)
    if "Write a guide" in message:
        return "guide", json.dumps(RULES)
    if "criteria by which" in message:
        return "criteria", json.dumps({"criteria": ["The carry is stated."]})
    found = parse_question(message)
    return "answer", solve(found, rng) if found else "I can only answer questions of the demo."


def _json_marks(message: str) -> str:
    _, _, rest = message.partition("Conversation:\n")
    question, _, rest = rest.partition("\n\nDraft:\n")
    numbered, _, _ = rest.partition("\n\nReply with")
    found = parse_question(question)
    assert found is not None
    draft = "\n".join(line.partition("] ")[2] for line in numbered.split("\n"))
    marks = mark(found, draft)
    num = len(parts_of(draft))
    said = [
        {"part": place, "verdict": one.verdict} | ({"text": one.line} if one.verdict == "replace" else {})
        for place, one in enumerate(marks[:num], 1)
    ]
    return json.dumps({"marks": said, "add": [one.line for one in marks[num:]]})
