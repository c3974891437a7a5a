"""Workers that pay through one ledger and are killed at random moments; a process of its own.

Usage: money_killer.py FOLDER NUM_KILLS SEED. Prints one JSON object of findings.

The provider is an append-only file: a line in it is a request that arrived and is billed. A worker appends it after
`sent` and before `settle`, so a kill can fall between any two of these, or inside the ledger's own transactions.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from opd.errors import BudgetReachedError
from opd.pricing import Usage, price, typed_price, worst_case
from opd.store.money import CallRequest, Hit, Ledger, audit, request_key

PRICE = typed_price("sim/teacher", 1, 10)
NUM_WORKERS = 6
NUM_QUESTIONS = 3000
WORST = worst_case(40, 40, PRICE)
CAP_STEP = 60 * WORST


def work(folder: Path, seed: int) -> None:
    """Ask random questions until killed, or until the budget is reached."""
    rng = random.Random(seed)
    bill = os.open(folder / "bill", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with Ledger(folder / "money.db") as ledger:
        while True:
            question = rng.randrange(NUM_QUESTIONS)
            key = request_key({"question": question})
            call = ledger.claim(CallRequest(key, "run", "answers", "sim/teacher", PRICE, 40, 40), wait_s=30)
            if isinstance(call, Hit):
                assert call.body == str(question).encode()
                continue
            ledger.sent(call.call_id)
            fate = rng.random()
            if fate < 0.1:
                ledger.release(call.call_id, "429")
                continue
            usage = Usage(input_tokens=rng.randrange(1, 41), output_tokens=rng.randrange(1, 41))
            os.write(bill, f"{call.call_id} {price(usage, PRICE)}\n".encode())
            if fate < 0.2:
                ledger.uncertain(call.call_id, "timeout")
            else:
                ledger.settle(call.call_id, usage, str(question).encode())


def in_child(function: object, *arguments: object) -> int:
    """Fork and run; the child ends without returning. A reached budget is a normal end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function(*arguments)  # type: ignore[operator] - one of the functions here
            code = 0
        except BudgetReachedError:
            code = 3
        finally:
            os._exit(code)
    return child


def raise_cap(folder: Path, cap: int) -> None:
    with Ledger(folder / "money.db") as ledger:
        ledger.set_run_cap("run", cap)


def run(folder: Path, num_kills: int, seed: int) -> dict[str, object]:
    """Keep workers alive and kill them until enough have died."""
    rng = random.Random(seed)
    cap = CAP_STEP
    os.waitpid(in_child(raise_cap, folder, cap), 0)
    deadlines: dict[int, float] = {}
    ends: Counter[str] = Counter()
    kills = started = 0
    while kills < num_kills:
        while len(deadlines) < NUM_WORKERS:
            started += 1
            deadlines[in_child(work, folder, seed * 1_000_003 + started)] = time.monotonic() + rng.uniform(0.002, 0.12)
        pid = min(deadlines, key=lambda worker: deadlines[worker])
        time.sleep(max(0.0, deadlines.pop(pid) - time.monotonic()))
        os.kill(pid, signal.SIGKILL)  # a worker that has already ended is a zombie until the next line
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        ends[str(code)] += 1
        kills += code == -signal.SIGKILL
        if code == 3:
            cap += CAP_STEP
            os.waitpid(in_child(raise_cap, folder, cap), 0)
    for pid in deadlines:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return findings(folder, cap) | {"kills": kills, "ends": dict(ends), "cap": cap}


def findings(folder: Path, cap: int) -> dict[str, object]:
    """Compare the ledger with the provider's bill."""
    billed: dict[int, int] = {}
    for line in (folder / "bill").read_text().splitlines():
        call_id, cost = map(int, line.split())
        assert call_id not in billed, "one call, two bills"
        billed[call_id] = cost
    with Ledger(folder / "money.db") as ledger:
        meter = ledger.run_meter("run")
        calls = ledger.database.read(
            lambda db: [tuple(row) for row in db.execute("SELECT id, key, state, spent FROM calls")]
        )
        problems = audit(ledger)
    wrong = [
        call_id
        for call_id, _, state, spent in calls
        if (state == "SETTLED" and spent != billed.get(call_id)) or (state == "RELEASED" and call_id in billed)
    ]
    settled = Counter(key for _, key, state, _ in calls if state == "SETTLED")
    return {
        "problems": problems,
        "wrong_calls": wrong,
        "keys_settled_twice": sum(count > 1 for count in settled.values()),
        "states": dict(Counter(state for _, _, state, _ in calls)),
        "unknown_bills": sorted(set(billed) - {call_id for call_id, *_ in calls}),
        "billed": sum(billed.values()),
        "counted": meter.spent_nano_usd + meter.held_nano_usd,
        "within_cap": meter.spent_nano_usd + meter.held_nano_usd <= cap,
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
