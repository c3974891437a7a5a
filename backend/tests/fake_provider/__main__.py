"""`python -m fake_provider`: the provider for a person at work offline, with the bundled teacher as its model."""

from __future__ import annotations

import argparse

import uvicorn

from fake_provider.brains import BundledBrain
from fake_provider.faults import FAULTS
from fake_provider.provider import MODELS, FakeProvider


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="fake_provider", description=__doc__)
    parser.add_argument("--port", type=int, default=8899)
    parser.add_argument("--key", help="the only key that is accepted; without it, any")
    parser.add_argument("--fault", choices=sorted(FAULTS), help="how every request fails")
    options = parser.parse_args()
    provider = FakeProvider(BundledBrain(), key=options.key)
    if options.fault:
        provider.fail(options.fault)
    print(f"http://127.0.0.1:{options.port}/v1 (OpenAI) and http://127.0.0.1:{options.port} (Anthropic)")
    print(f"Models: {', '.join(MODELS)}. Nothing is paid to anybody; the bill is printed at the end.")
    uvicorn.run(provider, host="127.0.0.1", port=options.port, log_level="warning")
    print(f"{len(provider.seen)} requests, ${provider.invoice.nano_usd / 1e9:.6f}")


if __name__ == "__main__":
    main()
