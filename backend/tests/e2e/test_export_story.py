"""A finished run's model taken elsewhere: exported from the page, watched, proven, and refused in words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.browser import RUN_TIMEOUT_MS, serious_violations
from e2e.finished_run import studio_with_a_finished_run
from e2e.studio_process import StudioProcess

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    with studio_with_a_finished_run(tmp_path_factory.mktemp("studio")) as process:
        yield process


def test_export_from_the_page(page: Page, studio: StudioProcess) -> None:
    (run_path,) = (studio.folder / "runs").iterdir()
    page.goto(f"{studio.url}/opd/{run_path.name}")
    page.get_by_role("radiogroup", name="Form").get_by_text("GGUF").click()
    page.get_by_role("button", name="Export as GGUF").click()
    bar = page.get_by_role("progressbar", name="Progress of the export")
    expect(bar.or_(page.get_by_test_id("export-path")).first).to_be_visible(timeout=RUN_TIMEOUT_MS)

    # Reloading changes nothing: the server is the only truth.
    page.reload()
    page.get_by_role("radiogroup", name="Form").get_by_text("GGUF").click()
    path = page.get_by_test_id("export-path")
    expect(path).to_be_visible(timeout=RUN_TIMEOUT_MS)
    assert (Path(path.inner_text().split(" (")[0]) / "model.gguf").is_file()
    page.get_by_role("button", name=re.compile("Read back and compared")).click()
    expect(page.get_by_text("equal bit for bit")).to_be_visible()

    page.get_by_role("radiogroup", name="Form").get_by_text("Adapters").click()
    page.get_by_role("button", name="Export as Adapters").click()
    expect(page.get_by_role("alert")).to_contain_text("trained all weights", timeout=RUN_TIMEOUT_MS)
    assert serious_violations(page) == []
    if folder := os.environ.get("OPD_PICTURES"):
        page.screenshot(path=f"{folder}/export.png")
