"""Scoring servers of all four dialects, as their documentation describes them, over a real tiny model.

Log-probabilities are computed, not made up: a wrong offset shows as a wrong number. Faults are switched by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

Fault = Literal[
    "",
    "retokenises",
    "truncates",
    "other_ids",
    "shifted_late",
    "shifted_early",
    "all_shifted_late",
    "all_shifted_early",
    "caps_k",
    "other_model",
    "no_scores",
    "busy",
    "wants_key",
]
MODEL = "tiny-teacher"
Scores = tuple[list[int], list[float | None], list[list[tuple[int, float]] | None]]


@dataclass
class Brain:
    """The model behind a fake server."""

    model: Any
    tokenizer: Any
    fault: Fault = ""
    key: str | None = None
    context_length: int = 512
    extra: dict[str, Any] = field(default_factory=dict)
    """Merged into the entry of the model list."""
    asked: list[dict[str, Any]] = field(default_factory=list)

    @torch.inference_mode()
    def laws(self, ids: list[int]) -> torch.Tensor:
        """Row i: log-law of the token at place i + 1."""
        return torch.log_softmax(self.model(torch.tensor([ids])).logits[0].double(), -1)

    def score(
        self, ids: list[int], k: int
    ) -> tuple[list[int], list[float | None], list[list[tuple[int, float]] | None]]:
        """Ids, their log-probabilities and the k likeliest, the way a server with this fault gets them."""
        if self.fault == "retokenises":
            ids = [self.tokenizer.convert_tokens_to_ids("<|endoftext|>"), *ids]
        if self.fault == "truncates":
            ids = ids[: len(ids) // 2]
        if self.fault == "other_ids":
            ids = [*ids[:-2], (ids[-2] + 1) % len(self.tokenizer), ids[-1]]
        if self.fault == "caps_k":
            k = min(k, 3)
        table = self.laws(ids)
        observed: list[float | None] = [None]
        listed: list[list[tuple[int, float]] | None] = [None]
        for place in range(1, len(ids)):
            law = table[place - 1]
            observed.append(law[ids[place]].item())
            values, tokens = law.topk(k) if k else (torch.empty(0), torch.empty(0, dtype=torch.long))
            listed.append(list(zip(tokens.tolist(), values.tolist(), strict=True)))
        after = table[-1]
        generated = after.argmax().item()
        if "late" in self.fault:
            observed = [*observed[1:], after[generated].item()]
        if "early" in self.fault:
            observed = [None, *observed[:-1]]
        if self.fault == "all_shifted_late":
            values, tokens = after.topk(k)
            listed = [*listed[1:], list(zip(tokens.tolist(), values.tolist(), strict=True))]
        if self.fault == "all_shifted_early":
            listed = [None, *listed[:-1]]
        return ids, observed, listed

    def name(self, asked: Any) -> str:
        return "somebody-else" if self.fault == "other_model" else str(asked or MODEL)

    def text(self, token: int) -> str:
        return str(self.tokenizer.decode([token]))


def usage(num: int) -> dict[str, Any]:
    return {"prompt_tokens": num, "completion_tokens": 1, "total_tokens": num + 1}


def vllm(brain: Brain, body: dict[str, Any]) -> dict[str, Any]:
    """POST /v1/completions with prompt_logprobs."""
    k = body["prompt_logprobs"]
    ids, observed, listed = brain.score(body["prompt"], k)
    if "shifted" in brain.fault:  # here a place is one dictionary with its own token in it: whole places move
        _, observed, listed = Brain(brain.model, brain.tokenizer).score(ids, k)
    entries = _vllm_entries(brain, ids, observed, listed)
    if "late" in brain.fault:
        entries = [*entries[1:], entries[-1]]
    if "early" in brain.fault:
        entries = [None, *entries[:-1]]
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": brain.name(body["model"]),
        "choices": [
            {
                "index": 0,
                "text": "x",
                "logprobs": None,
                "finish_reason": "length",
                "stop_reason": None,
                "token_ids": [1],
                "prompt_logprobs": None if brain.fault == "no_scores" else entries,
                "prompt_token_ids": ids,
            }
        ],
        "usage": {**usage(len(ids)), "prompt_tokens_details": None},
    }


def _vllm_entries(brain: Brain, ids: list[int], observed: Any, listed: Any) -> list[dict[str, Any] | None]:
    entries: list[dict[str, Any] | None] = []
    for place, (value, top) in enumerate(zip(observed, listed, strict=True)):
        if value is None:
            entries.append(None)
            continue
        found = {ids[place]: value} | dict(top)
        entries.append(
            {
                str(token): {"logprob": logprob, "rank": rank + 1, "decoded_token": brain.text(token)}
                for rank, (token, logprob) in enumerate(found.items())
            }
        )
    return entries


def sglang(brain: Brain, body: dict[str, Any]) -> dict[str, Any]:
    """POST /generate."""
    ids, observed, listed = brain.score(body["input_ids"], body["top_logprobs_num"])
    facts: dict[str, Any] = {
        "id": "1",
        "finish_reason": {"type": "length", "length": 0},
        "prompt_tokens": len(ids),
        "completion_tokens": 0,
        "cached_tokens": 0,
    }
    if brain.fault != "no_scores":
        facts["input_token_logprobs"] = [[v, token, None] for v, token in zip(observed, ids, strict=True)]
        facts["input_top_logprobs"] = [
            None if top is None else [[value, token, None] for token, value in top] for top in listed
        ]
    return {"text": "", "output_ids": [], "meta_info": facts}


def fireworks(brain: Brain, body: dict[str, Any]) -> dict[str, Any]:
    """POST /v1/completions with echo; the prompt's tokens come first, the generated one last."""
    assert body["echo"]
    assert body["logprobs"] is True
    ids, observed, listed = brain.score(body["prompt"], body["top_logprobs"])
    generated = brain.laws(ids)[-1].max(-1)
    content = [
        {
            "token": brain.text(token),
            "logprob": 0.0 if value is None else value,
            "sampling_logprob": None,
            "bytes": list(brain.text(token).encode()),
            "token_id": token,
            "text_offset": 0,
            "top_logprobs": [
                {"token": brain.text(t), "logprob": v, "token_id": t, "bytes": None} for t, v in top or []
            ],
        }
        for token, value, top in zip(
            [*ids, generated.indices.item()],
            [*observed, generated.values.item()],
            [*listed, [(generated.indices.item(), generated.values.item())]],
            strict=True,
        )
    ]
    choice = {"index": 0, "text": "x", "finish_reason": "length", "logprobs": {"content": content}}
    if brain.fault == "no_scores":
        choice["logprobs"] = None
    return {
        "id": "1",
        "object": "text_completion",
        "model": brain.name(body["model"]),
        "choices": [choice],
        "usage": usage(len(ids)),
    }


def together(brain: Brain, body: dict[str, Any]) -> dict[str, Any]:
    """POST /v1/completions with echo; text in, texts out."""
    assert isinstance(body["prompt"], str)
    ids = brain.tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
    ids, observed, listed = brain.score(ids, body["logprobs"])
    part = {
        "tokens": [brain.text(token) for token in ids],
        "token_ids": ids,
        "token_logprobs": observed,
        "top_logprobs": [None if top is None else {brain.text(t): v for t, v in top} for top in listed],
    }
    if brain.extra.get("texts_only"):
        del part["token_ids"]
    return {
        "id": "1",
        "object": "text_completion",
        "model": brain.name(body["model"]),
        "prompt": [{"text": body["prompt"], "logprobs": {} if brain.fault == "no_scores" else part}],
        "choices": [{"index": 0, "text": "x", "finish_reason": "length"}],
        "usage": usage(len(ids)),
    }


ROUTES = {
    "vllm": ("/v1/completions", vllm),
    "sglang": ("/generate", sglang),
    "fireworks": ("/v1/completions", fireworks),
    "together": ("/v1/completions", together),
}


def fake_server(dialect: str, brain: Brain) -> FastAPI:
    """The ASGI application of a server with this brain."""
    app = FastAPI()
    path, handler = ROUTES[dialect]

    @app.middleware("http")
    async def faults(request: Request, go_on: Any) -> Any:
        if brain.key is not None and request.headers.get("authorization") != f"Bearer {brain.key}":
            return JSONResponse({"error": {"message": "Incorrect API key provided"}}, 401)
        if brain.fault == "busy":
            return JSONResponse({"error": {"message": "loading model"}}, 503)
        return await go_on(request)

    @app.get("/v1/models")
    async def models() -> Any:
        name = brain.name(MODEL)
        entry = {"id": name, "object": "model", "owned_by": "x", "max_model_len": brain.context_length, **brain.extra}
        return {"object": "list", "data": [entry]}

    @app.post(path)
    async def score(request: Request) -> Any:
        body = await request.json()
        brain.asked.append(body)
        return handler(brain, body)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Any:
        body = await request.json()
        brain.asked.append(body)
        said = "4" if body["messages"][-1]["content"] != "refuse" else ""
        message = {"role": "assistant", "content": said or None, "refusal": None if said else "I would rather not."}
        return {
            "id": "chat-1",
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
        }

    return app
