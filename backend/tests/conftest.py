"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from distribution import Scheduling, last_seconds, longest_first

# TRL's trainers would tell of themselves; read when the library is imported.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
hypothesis.settings.register_profile("no deadline", deadline=None)  # by default 200 ms, which a busy machine misses
hypothesis.settings.load_profile("no deadline")


@pytest.hookimpl(optionalhook=True)  # of xdist, which tests of a single process do without
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = longest_first(items, last_seconds())


@pytest.fixture(scope="module", autouse=True)
def _quick_garbage_collection() -> None:
    """What has been imported so far is looked through no more: a run of a tiny model collects garbage several times,
    and half a million objects of torch and transformers would take longer than its steps."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or touches the data folder, the model cache or the keys of the person who runs it."""
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("OPD_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def warm_interpreters() -> Iterator[None]:
    """What the tests of this module start with an ML package in it is a fork that has it (`warm_interpreters.py`)."""
    from warm_interpreters import WarmPopen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", WarmPopen)
        yield


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Keeps what a test has counted for the table at the end."""
    return lambda text: record_property("counts", text)


@pytest.fixture
def light_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test are processes without a model (`light_run.py`)."""
    import opd.jobs
    from studio_in_tests import LIGHT_PIPELINE

    monkeypatch.setattr(opd.jobs, "PIPELINE", LIGHT_PIPELINE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have counted (`tell`), in one table at the end."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    told = [
        str(value)
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "counts"
    ]
    if told:
        terminalreporter.section("counts")
        for line in told:
            terminalreporter.write_line(line)
