"""The studio as the routes see it: one object made at start, handed to each handler."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection

from opd.api.access import Access
from opd.api.status import Summaries
from opd.api.watch import Watchers
from opd.chat_jobs import Chats
from opd.config import RunConfig
from opd.errors import NotFoundError
from opd.jobs import Jobs
from opd.keys import Keys
from opd.store.datasets import Datasets
from opd.store.runs import RunStore
from opd.store.studio import StudioDb


@dataclass
class Studio:
    """Everything that a request may need."""

    data_dir: Path
    access: Access
    store: RunStore
    db: StudioDb
    keys: Keys
    jobs: Jobs
    datasets: Datasets
    watchers: Watchers
    summaries: Summaries = field(default_factory=Summaries)
    chats: Chats = field(default_factory=Chats)

    def demo_config(self) -> RunConfig:
        """The bundled distillation.

        Raises:
            NotFoundError: its models are not installed.
        """
        config = self.demo_config_or_none()
        if config is None:
            raise NotFoundError(
                "The bundled models are not in this installation.", hint="Install the complete package."
            )
        return config

    def demo_config_or_none(self) -> RunConfig | None:
        """The bundled distillation; None where its models are not installed."""
        from opd.presets import demo_config

        return demo_config()


def get_studio(connection: HTTPConnection) -> Studio:
    """The studio of this application."""
    studio: Studio = connection.app.state.studio
    return studio
