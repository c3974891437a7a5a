"""Writes the OpenAPI document that the front end's types are generated from; `--check` says whether it is fresh.

python -m opd.api.openapi [--check]     frontend/src/api/openapi.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from opd.api.app import build_api

TARGET = Path(__file__).resolve().parents[3] / "frontend" / "src" / "api" / "openapi.json"


def render() -> str:
    """The document as it is committed: sorted, indented, one newline at the end."""
    return json.dumps(build_api().openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document, or with --check compare it; 1 when it is stale."""
    text = render()
    if "--check" in arguments:
        fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text
        if not fresh:
            print(f"{TARGET.name} is not what the routes say; run `make openapi`.", file=sys.stderr)
        return 0 if fresh else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text, encoding="utf-8", newline="\n")
    print(f"wrote {TARGET.name}: {len(text):,} characters", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
