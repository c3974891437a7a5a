"""Build hook: wheel and sdist carry the built user interface, so that users need no Node; the wheel also the examples.

In: `backend/opd/ui/`, made by `tools/dev.py build`, and `examples/`. An editable install finds both in the checkout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class UserInterfaceHook(BuildHookInterface):  # type: ignore[type-arg] - its parameter names hatchling's own config
    """Adds the pages, which git ignores, to what is packed; refuses to pack a studio without pages."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        if not (Path(self.root) / "backend" / "opd" / "ui" / "index.html").is_file():
            raise RuntimeError(
                "backend/opd/ui/index.html is missing: the package would have no pages. "
                "Run `python3 tools/dev.py build` first."
            )
        build_data["artifacts"].append("/backend/opd/ui/**")
        if self.target_name == "wheel":
            build_data["force_include"]["examples"] = "opd/examples"
