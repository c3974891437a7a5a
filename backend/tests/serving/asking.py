"""Requests to the endpoint, and what its model would answer by itself."""

from __future__ import annotations

from typing import Any

import httpx2
import torch

from opd.serving.loading import ServedModel
from opd.teachers.addresses import tls_context


def post(address: str, path: str, body: dict[str, Any], **headers: str) -> httpx2.Response:
    return httpx2.post(address + path, json=body, headers=headers, timeout=60, verify=tls_context(trust_env=False))


def chat(address: str, **changes: Any) -> Any:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "2+2?"}], "max_tokens": 12, "seed": 5}
    answer = post(address, "/chat/completions", {**body, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def complete(address: str, **changes: Any) -> Any:
    answer = post(address, "/completions", {"model": "tiny", "prompt": [5, 6, 7], "seed": 5, **changes})
    assert answer.status_code == 200, answer.text
    return answer.json()


def law(served: ServedModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return torch.log_softmax(served.model(torch.tensor([ids])).logits[0].double(), -1)
