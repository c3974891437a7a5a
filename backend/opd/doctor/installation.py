"""The installation check: data, cloud API, training loop and costs, without any ML package.

In: a writer for lines of text. Out: a summary of figures, or an `InstallationError` naming the part that failed. It is
what `backend/tests/test_opd_demo.py` runs. The cloud API is a real HTTP server on the loopback interface speaking the
OpenAI chat format, asked by a real client; the training loop is on-policy distillation of a policy small enough to
write in plain Python.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opd.data_loader import PromptRecord, check_file, load_prompts, render_report, split
from opd.errors import OPDError
from opd.presets import example_data
from opd.pricing import Usage, price, render_scenarios, resolve_model, scenario_table, usd, worst_case

if TYPE_CHECKING:
    import httpx2

Emit = Callable[[str], None]

SIMULATED_MODEL = "openai/gpt-4o-mini"
SIMULATED_KEY = "simulated-key"
MAX_OUTPUT_TOKENS = 64
MAX_RETRIES = 4


class InstallationError(OPDError):
    """A part of the installation that does not do what it should."""

    code = "installation_broken"


def _broken(found: str) -> InstallationError:
    return InstallationError(found, hint="Install again with `make demo`; if it stays, report this line.")


def _require(condition: bool, found: str) -> None:
    if not condition:
        raise _broken(found)


# --- 1. data loading --------------------------------------------------------------------------------


def check_data_loading(emit: Emit) -> list[PromptRecord]:
    """Read the example prompts, and find the faults in a broken file."""
    path = next((path for path in example_data() if path.stem == "on_policy_prompts_test"), None)
    if path is None:
        raise _broken("The example data on_policy_prompts_test.jsonl is missing.")
    report = check_file(path)
    emit(render_report(report))
    _require(report.ok and report.num_samples == 5, f"{report.num_samples} usable samples; expected 5.")
    records = load_prompts(path)
    divided = split(records, 0.2, seed=0)
    emit(f"Split: {len(divided.train)} to train, {len(divided.test)} held out.")
    _require((len(divided.train), len(divided.test)) == (4, 1), "The split is not 4 and 1.")
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(folder) / "broken.jsonl"
        broken.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + b'{"messages": [}\n')
        problem = check_file(broken).problems[0]
    emit(f"A broken file: line {problem.line}, byte {problem.byte_offset}: {problem.reason} [{problem.code}].")
    _require(problem.line == 2, "The broken line was not found.")
    return records


# --- 2. cloud API -----------------------------------------------------------------------------------


@dataclass
class SimulatedApi:
    """What the simulated provider saw and would bill, in nano-dollars."""

    url: str = ""
    num_requests: int = 0
    num_answers: int = 0
    invoice_nano_usd: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def simulated_api() -> Iterator[SimulatedApi]:
    """A chat API on a free loopback port: checks the key, refuses every third request as too many, counts tokens."""
    api = SimulatedApi()
    model = resolve_model(SIMULATED_MODEL)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with api.lock:
                api.num_requests += 1
                busy = api.num_requests % 3 == 0
            if self.path != "/v1/chat/completions":
                self._answer(404, {"error": {"message": "no such route"}})
            elif self.headers["Authorization"] != f"Bearer {SIMULATED_KEY}":
                self._answer(401, {"error": {"message": "invalid key"}})
            elif busy:
                self._answer(429, {"error": {"message": "too many requests"}}, {"Retry-After": "0"})
            else:
                self._answer(200, self._complete(body))

        def _complete(self, body: dict[str, Any]) -> dict[str, object]:
            words = [word for message in body["messages"] for word in str(message["content"]).split()]
            answer = " ".join(["On", *words[-8:-1], "opinions", "differ."])
            usage = Usage(input_tokens=len(words), output_tokens=len(answer.split()))
            with api.lock:
                api.num_answers += 1
                api.invoice_nano_usd += price(usage, model)
            return {
                "object": "chat.completion",
                "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}],
                "usage": {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens},
            }

        def _answer(self, status: int, body: dict[str, object], headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()


def check_cloud_api(records: Sequence[PromptRecord], emit: Emit) -> int:
    """Ask the simulated teacher every prompt over HTTP; the money booked must equal its invoice.

    Returns: nano-dollars spent.
    """
    import httpx2

    model = resolve_model(SIMULATED_MODEL)
    spent = 0
    with simulated_api() as api, httpx2.Client(trust_env=False, timeout=10) as client:
        refused = client.post(f"{api.url}/chat/completions", json={}, headers={"Authorization": "Bearer wrong"})
        _require(refused.status_code == 401, f"A wrong key was answered with {refused.status_code}; expected 401.")
        for record in records:
            answer, usage = _ask(client, api.url, record)
            cost = price(usage, model)
            bound = worst_case(
                sum(len(message["content"].encode()) for message in record.messages), MAX_OUTPUT_TOKENS, model
            )
            _require(0 < cost <= bound, f"A call cost {cost} nano-dollars; expected at most {bound}.")
            spent += cost
            emit(f"  {usage.input_tokens:4} + {usage.output_tokens:3} tokens  ${usd(cost):.8f}  {answer[:60]}")
        emit(f"{api.num_requests} requests, {api.num_answers} answers, invoice ${usd(api.invoice_nano_usd):.8f}.")
        _require(api.num_answers == len(records), f"{api.num_answers} answers; expected {len(records)}.")
        _require(spent == api.invoice_nano_usd, f"Booked {spent}, invoiced {api.invoice_nano_usd} nano-dollars.")
    return spent


def _ask(client: httpx2.Client, url: str, record: PromptRecord) -> tuple[str, Usage]:
    """One call, repeated while the server says that it is busy."""
    body = {
        "model": SIMULATED_MODEL.partition("/")[2],
        "messages": list(record.messages),
        "max_tokens": MAX_OUTPUT_TOKENS,
    }
    headers = {"Authorization": f"Bearer {SIMULATED_KEY}"}
    reply = client.post(f"{url}/chat/completions", json=body, headers=headers)
    for _ in range(MAX_RETRIES):
        if reply.status_code == 429:
            reply = client.post(f"{url}/chat/completions", json=body, headers=headers)
    _require(reply.status_code == 200, f"The simulated API answered {reply.status_code}; expected 200.")
    parsed = reply.json()
    usage = Usage(parsed["usage"]["prompt_tokens"], 0, parsed["usage"]["completion_tokens"])
    return parsed["choices"][0]["message"]["content"], usage


# --- 3. training loop -------------------------------------------------------------------------------


@dataclass
class TablePolicy:
    """A policy over `n` tokens whose next-token logits depend on the last token alone."""

    logits: list[list[float]]

    def probabilities(self, state: int) -> list[float]:
        """The softmax of one row."""
        top = max(self.logits[state])
        weights = [math.exp(value - top) for value in self.logits[state]]
        total = sum(weights)
        return [weight / total for weight in weights]

    def rollout(self, rng: random.Random, num_tokens: int) -> list[int]:
        """Tokens sampled one after another, starting from token 0."""
        states = [0]
        for _ in range(num_tokens):
            states += rng.choices(range(len(self.logits)), self.probabilities(states[-1]))
        return states


def random_policy(rng: random.Random, num_tokens: int, scale: float) -> TablePolicy:
    """Logits from a normal distribution with standard deviation `scale`."""
    return TablePolicy([[rng.gauss(0, scale) for _ in range(num_tokens)] for _ in range(num_tokens)])


def reverse_kl(student: Sequence[float], teacher: Sequence[float]) -> float:
    """KL(student‖teacher) in nats of two distributions without zeros."""
    return sum(p * (math.log(p) - math.log(q)) for p, q in zip(student, teacher, strict=True))


def reverse_kl_gradient(student: Sequence[float], teacher: Sequence[float]) -> list[float]:
    """Gradient of the reverse KL with respect to the student's logits: p (log p - log q - KL)."""
    kl = reverse_kl(student, teacher)
    return [p * (math.log(p) - math.log(q) - kl) for p, q in zip(student, teacher, strict=True)]


def distil(
    student: TablePolicy, teacher: TablePolicy, *, num_steps: int, learning_rate: float, rng: random.Random
) -> list[float]:
    """On-policy distillation by gradient descent on the states that the student itself visits.

    Returns: mean reverse KL per visited state, by step.
    """
    history = []
    for _ in range(num_steps):
        visited = student.rollout(rng, num_tokens=32)[:-1]
        pairs = [(student.probabilities(state), teacher.probabilities(state)) for state in visited]
        history.append(sum(reverse_kl(*pair) for pair in pairs) / len(pairs))
        for state, pair in zip(visited, pairs, strict=True):
            for token, slope in enumerate(reverse_kl_gradient(*pair)):
                student.logits[state][token] -= learning_rate * slope
    return history


def check_training_loop(emit: Emit) -> tuple[float, float]:
    """Distil a toy teacher into a toy student.

    Returns: mean reverse KL over the first and the last ten steps, in nats.
    """
    rng = random.Random(0)
    teacher, student = random_policy(rng, 8, scale=2.0), random_policy(rng, 8, scale=0.5)
    history = distil(student, teacher, num_steps=200, learning_rate=0.3, rng=rng)
    for step in range(0, len(history), 40):
        emit(f"  step {step:3}  reverse KL {history[step]:.4f} nats")
    before, after = sum(history[:10]) / 10, sum(history[-10:]) / 10
    emit(f"Reverse KL {before:.3f} -> {after:.4f} nats on the student's own text.")
    _require(after < before / 10, f"Reverse KL fell from {before:.3f} to {after:.3f} only; expected a tenth.")
    return before, after


# --- 4. costs, and all of it ------------------------------------------------------------------------


def check_cost_estimation(emit: Emit) -> None:
    """Compute the scenario table from the price data."""
    rows = scenario_table()
    emit(render_scenarios(rows))
    _require(all(row.usd > 0 for row in rows), "A paid teacher came out free.")
    _require([row.input_tokens for row in rows[::2]] == [50_000, 11_900_000], "The token counts are wrong.")


def check_installation(emit: Emit = print) -> dict[str, float]:
    """Run the four parts.

    Returns: the figures they came to.

    Raises:
        InstallationError: a part does not do what it should.
    """
    emit("== 1. Data loading ==")
    records = check_data_loading(emit)
    emit("\n== 2. Cloud API (simulated provider on the loopback interface) ==")
    spent = check_cloud_api(records, emit)
    emit("\n== 3. Training loop (on-policy distillation of a toy policy) ==")
    before, after = check_training_loop(emit)
    emit("\n== 4. Cost estimation ==")
    check_cost_estimation(emit)
    return {
        "num_prompts": len(records),
        "spent_nano_usd": spent,
        "reverse_kl_before": before,
        "reverse_kl_after": after,
    }
