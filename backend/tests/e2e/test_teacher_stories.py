"""Choosing a teacher: what it can do for the student is found out live and stands there in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.studio_process import StudioProcess
from loopback import serving
from opd.demo.bundled import teacher_dir
from opd.serving.app import create_serving_app
from tokenizers_in_tests import byte_level, model_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SLOW_MS = 120_000
ACROSS = re.compile(r"token by token across tokenizers: (9\d|100) % of positions")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that divides text differently."""
    folder, tokenizer = tmp_path_factory.mktemp("other"), byte_level("words", 900, 1)
    model_for(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The bundled teacher behind `opd serve`."""
    with serving(create_serving_app(teacher_dir(), name="bundled")) as address:
        yield f"{address}/v1"


def test_each_kind_of_teacher_says_what_it_gives(page: Page, served: str, other: Path) -> None:
    page.get_by_role("button", name="Use the example dataset").click()
    expect(page.get_by_text("It grades the student token by token, full distribution.")).to_be_visible(timeout=SLOW_MS)

    # A model of this machine with tokens of its own.
    page.get_by_role("button", name=re.compile("^Teacher: ")).click()
    page.get_by_role("textbox", name="Folder, or Hugging Face id").fill(str(other))
    page.get_by_role("option", name=str(other)).click()
    expect(page.get_by_text(ACROSS)).to_be_visible(timeout=SLOW_MS)

    # A server: nothing is known of it until it has answered, and what is wrong with it is said at the same place.
    page.get_by_role("radiogroup", name="Where the teacher runs").get_by_text("Server").click()
    page.get_by_role("textbox", name="Address", exact=True).fill(served)
    page.get_by_role("textbox", name="Model's name there").fill("no such name")
    finding = page.get_by_role("status").filter(has_text="no such name")
    expect(finding).to_contain_text("bundled", timeout=SLOW_MS)
    page.get_by_role("textbox", name="Model's name there").fill("bundled")
    expect(page.get_by_text("It grades the student token by token, top-20.")).to_be_visible(timeout=SLOW_MS)


def test_a_key_goes_in_beside_the_teacher_and_never_comes_out(page: Page, studio: StudioProcess) -> None:
    key = "sk-canary-5c1f2a7e9b"
    seen: list[str] = []
    page.on("response", lambda answer: seen.append(answer.text()) if "/api/keys" in answer.url else None)
    page.goto(f"{studio.url}/opd")
    page.get_by_role("button", name="Use the example dataset").click()
    page.get_by_role("radiogroup", name="Where the teacher runs").get_by_text("Cloud API").click()
    page.get_by_role("combobox", name="Model").fill("openai/gpt-4o-mini")
    expect(page.get_by_text("There is no key for openai.")).to_be_visible(timeout=SLOW_MS)

    # The place for it is where it is missed; once it is kept, the check passes and the place is gone.
    page.get_by_label("Key of OpenAI", exact=True).fill(key)
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_text("There is no key for openai.")).to_have_count(0, timeout=SLOW_MS)
    expect(page.get_by_label("Key of OpenAI", exact=True)).to_have_count(0)

    # It is listed without its value, and on this machine for this person alone.
    page.goto(f"{studio.url}/teachers")
    keys = page.get_by_role("region", name="Keys")
    row = keys.get_by_role("row").filter(has_text="OpenAI")
    expect(row).to_contain_text("in a file that only you can read")
    kept = studio.folder / "keys.json"
    assert key in kept.read_text("utf-8")
    assert kept.stat().st_mode & 0o077 == 0
    stored = page.evaluate("JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)])")
    assert seen, "answers about keys were read"
    assert [text for text in [page.content(), stored, *seen] if key in text] == []

    # Taking it away asks first.
    row.get_by_role("button", name="Remove the key of OpenAI").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    expect(row).to_contain_text("in a file that only you can read")
    row.get_by_role("button", name="Remove the key of OpenAI").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove the key").click()
    expect(row).to_contain_text("none")
    assert key not in kept.read_text("utf-8")
