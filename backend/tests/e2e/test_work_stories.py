"""What people do around a run: look around, prepare data, settings in and out, tags, comparison, deletion."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from e2e.browser import choose_model
from e2e.studio_process import StudioProcess
from opd.config import load_config
from seeded_run import make_run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def chat(text: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": text}]})


def test_the_tour_is_offered_once_and_can_be_left_at_any_step(page: Page, studio: StudioProcess) -> None:
    page.get_by_role("link", name="Show me around").click()
    step = page.get_by_role("dialog")
    expect(step).to_contain_text("1. Set up")
    step.get_by_role("button", name="Next").click()
    expect(step).to_contain_text("2. Look before you start")
    step.get_by_role("button", name="Skip").click()
    expect(step).to_have_count(0)
    expect(page.get_by_text("New here?")).to_have_count(0)
    page.reload()
    page.get_by_role("button", name="Run the 60-second demo").wait_for()
    expect(page.get_by_text("New here?")).to_have_count(0)

    # Whoever wants it again finds it among the commands, and Escape leaves it.
    page.keyboard.press("Control+k")
    page.keyboard.type("show me around")
    page.keyboard.press("Enter")
    for title in ("1. Set up", "2. Look before you start", "3. Watch it learn", "4. Come back"):
        expect(step).to_contain_text(title)
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(step).to_have_count(0)


def test_four_formats_one_bad_line_and_what_the_model_will_read(page: Page, tmp_path: Path) -> None:
    share = json.dumps({"conversations": [{"from": "human", "value": "What moves copper?"}]})
    alpaca = json.dumps({"instruction": "What moves wheat?", "input": "", "output": "Weather."})
    plain = json.dumps({"prompt": "What moves gold?"})
    file = tmp_path / "mixed.jsonl"
    file.write_text("\n".join([chat("What moves oil?"), share, "not json", alpaca, plain, chat("What moves oil?")]))
    page.get_by_role("link", name="Datasets").click()
    page.get_by_role("heading", name="Datasets", exact=True).wait_for()  # the page before has a field of that name too
    page.get_by_label("Drop a JSONL file here, or").set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("mixed.jsonl has 1 line to correct")
    page.get_by_role("button", name="Use the 5 good lines").click()

    # What is kept has each prompt once, as chat messages, and passes its own check.
    expect(page.get_by_role("heading", name="mixed.jsonl")).to_be_visible()
    expect(page.get_by_text("What moves wheat?")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(r"^mixed\.jsonl"))).to_contain_text("4 prompts")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download cleaned file").click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    asked = [json.loads(line)["messages"][0]["content"] for line in lines]
    assert asked == ["What moves oil?", "What moves copper?", "What moves wheat?", "What moves gold?"]

    # Another file that shares prompts with it is a leak, and said to be one.
    held_out = tmp_path / "held_out.jsonl"
    held_out.write_text("\n".join([chat("What moves  copper?"), chat("What moves tin?")]))
    page.get_by_label("Drop a JSONL file here, or").set_input_files(held_out)
    expect(page.get_by_text("In mixed.jsonl as well: 1 prompt of this file")).to_be_visible()

    # Through the real chat template: special tokens, the number of tokens, and where training begins.
    page.get_by_text("As the model reads them").click()
    first = page.get_by_label("Line 1", exact=True)
    expect(first).to_contain_text("<|im_start|>user")
    expect(first).to_contain_text("the student writes from here")
    expect(page.get_by_text(re.compile(r"2 prompts: \d+ to \d+ tokens"))).to_be_visible()

    # Used for a run, it is in the setup.
    page.get_by_role("button", name="Use for a run").click()
    expect(page.get_by_role("textbox", name="Dataset").or_(page.get_by_role("combobox", name="Dataset"))).to_have_value(
        "held_out.jsonl"
    )


def test_settings_travel_as_yaml_and_what_does_not_fit_says_why(
    page: Page, studio: StudioProcess, tmp_path: Path
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Use the example dataset").click()
    expect(page.get_by_role("button", name="Student: Demo student")).to_be_visible()
    page.get_by_role("button", name="Best", exact=True).click()
    expect(page.get_by_text(re.compile("600 steps of 16 completions.*Sized for this processor"))).to_be_visible()

    # The teacher is no student: it is shown, and says why it cannot be chosen.
    page.get_by_role("button", name="Student: Demo student").click()
    taken = page.get_by_role("option", name=re.compile("Demo teacher"))
    expect(taken).to_contain_text("there is nothing to learn")
    expect(taken).to_be_disabled()
    page.keyboard.press("Escape")

    # Simple first; Advanced counts what was changed, and an option that this machine lacks is shown with the reason.
    page.get_by_role("button", name=re.compile("^Advanced")).click()
    page.get_by_placeholder("Find a setting").fill("device")
    page.get_by_role("combobox", name="Device").or_(page.get_by_role("textbox", name="Device")).click()
    expect(page.get_by_role("option", name=re.compile("^mps"))).to_contain_text("This machine has no Apple GPU")
    page.get_by_role("option", name="cpu").click()
    expect(page.get_by_role("button", name=re.compile("^Advanced"))).to_contain_text(re.compile(r"\d settings? edited"))

    # Out as YAML, as a command line, as a request.
    copied = {}
    for name, form in {"YAML": "yaml", "Command line": "cli", "curl": "curl"}.items():
        page.get_by_role("button", name=re.compile("Copy as|Copied")).click()
        page.get_by_role("menuitem", name=re.compile(f"^{name}")).click()
        page.get_by_role("button", name="Copied").wait_for()
        copied[form] = page.evaluate("navigator.clipboard.readText()")
    config_file = tmp_path / "copied.yaml"
    config_file.write_text(copied["yaml"])
    config = load_config(config_file)
    assert (config.max_steps, config.device, config.baseline.enabled) == (600, "cpu", True)
    assert copied["yaml"].strip() in copied["cli"]
    assert "/api/opd/start" in copied["curl"]
    token = (studio.folder / "studio.token").read_text().strip()
    assert token not in copied["curl"]
    assert "studio.token" in copied["curl"]

    # And in again: one setting wrong is named and changes nothing, then it is taken.
    page.get_by_role("button", name="Load from YAML").click()
    dialog = page.get_by_role("dialog", name="Settings from YAML")
    dialog.get_by_label("YAML", exact=True).fill(copied["yaml"].replace("max_steps: 600", "max_steps: many"))
    dialog.get_by_role("button", name="Use these settings").click()
    expect(dialog.get_by_role("alert")).to_contain_text("max_steps")
    dialog.get_by_label("YAML", exact=True).fill(copied["yaml"].replace("max_steps: 600", "max_steps: 7"))
    dialog.get_by_role("button", name="Use these settings").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("textbox", name="Steps", exact=True)).to_have_value("7")
    choose_model(page, "Student", "Demo student")


def test_runs_are_tagged_found_compared_and_deleted_after_a_question(page: Page, studio: StudioProcess) -> None:
    make_run(studio.folder, "first-run", num_steps=40, hostile=False).end("done", step=40)
    make_run(studio.folder, "other-run", seed=1, num_steps=30, hostile=False).end("done", step=30)
    page.goto(f"{studio.url}/runs")
    page.get_by_role("button", name="Tags of Tiny learns sums <first-run>").click()
    tags = page.get_by_role("textbox", name="Tags").or_(page.get_by_role("combobox", name="Tags")).first
    tags.fill("keep")
    tags.press("Enter")
    page.keyboard.press("Escape")
    tag = page.get_by_role("row").get_by_role("button", name="keep", exact=True)
    expect(tag).to_be_visible()
    tag.click()
    expect(page.get_by_role("row").filter(has_text="first-run")).to_have_count(1)
    expect(page.get_by_role("row").filter(has_text="other-run")).to_have_count(0)
    page.reload()
    expect(tag).to_be_visible()

    page.get_by_role("checkbox", name="Select Tiny learns sums <first-run>").check()
    page.get_by_role("checkbox", name="Select Tiny learns sums <other-run>").check()
    page.get_by_role("button", name="Compare 2").click()
    expect(page.get_by_role("heading", level=1, name="Compare runs")).to_be_visible()
    outcome = page.get_by_role("row").filter(has_text="first-run").first
    expect(outcome).to_contain_text(re.compile(r"\+\d+\.\d.*points of"))
    expect(outcome).to_contain_text("$0.42")
    expect(outcome).to_contain_text("Better")
    expect(page.get_by_role("row").filter(has_text="max_steps")).to_contain_text(re.compile("40.*30"))
    expect(page.get_by_role("row").filter(has_text="seed").first).to_be_visible()
    expect(page.get_by_role("figure", name="Loss").locator("canvas")).to_be_visible()

    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("button", name="Delete Tiny learns sums <other-run>").click()
    question = page.get_by_role("dialog", name="Delete this run?")
    expect(question).to_contain_text("cannot be undone")
    question.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("row").filter(has_text="other-run")).to_have_count(1)
    page.get_by_role("button", name="Delete Tiny learns sums <other-run>").click()
    question.get_by_role("button", name="Delete the run").click()
    expect(page.get_by_role("row").filter(has_text="other-run")).to_have_count(0)
    assert not (studio.folder / "runs" / "other-run").exists()
