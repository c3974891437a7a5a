"""A chat provider on loopback: both wire formats, a real small model, an exact bill, and every way to fail.

In a test: `with FakeProvider(brain) as provider: …`. For a person at work offline:

    PYTHONPATH=backend:backend/tests .venv/bin/python -m fake_provider --port 8899

and then `teacher: {type: chat, model: openai/gpt-4o-mini, base_url: "http://127.0.0.1:8899/v1"}`.
"""

from fake_provider.bill import Invoice
from fake_provider.brains import BundledBrain, CountingBrain, Spoken
from fake_provider.faults import FAULTS, Fault
from fake_provider.provider import FakeProvider

__all__ = ["FAULTS", "BundledBrain", "CountingBrain", "FakeProvider", "Fault", "Invoice", "Spoken"]
