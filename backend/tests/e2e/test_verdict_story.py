"""A finished run read: its card says what to take, its answers can be followed from before to the teacher's."""

from __future__ import annotations

import json
import re
import signal

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e.browser import RUN_TIMEOUT_MS, chip, plotted_steps, wait_for_verdict
from e2e.studio_process import StudioProcess
from opd.config import parse_config
from opd.demo.bundled import student_dir, teacher_dir
from opd.demo.task import train_prompts
from opd.events import Fix, RunFailure, SampleRecorded, TokenScore
from opd.store.runs import RunFolder, RunStore
from run_processes import RunProcess
from seeded_run import make_run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RUN, NUM_STEPS = "told", 6


@pytest.fixture(scope="module", autouse=True)
def finished_run(studio: StudioProcess) -> None:
    """A run that is over; its student's first answer and the teacher's, which a seeded run does without."""
    run = make_run(studio.folder, RUN, num_steps=120)
    writer = run.writer()
    prompt = "Segment A earned 20 million and segment B 11 million. What is the total?"
    tokens = [
        TokenScore(text="20+11=", student_logprob=-0.1, teacher_logprob=-0.2),
        TokenScore(text="7", student_logprob=-0.1, teacher_logprob=-6.0),
    ]
    writer.append(
        SampleRecorded(
            step=0, author="student", prompt_id="p0000", prompt=prompt, text="20+11=7", expected="31", correct=False,
            tokens=tokens,
        ),
        SampleRecorded(
            step=0, author="teacher", prompt_id="p0000", prompt=prompt, text="20+11=31", expected="31", correct=True
        ),
    )  # fmt: skip
    writer.close()
    run.end("done", step=120)


@pytest.fixture(scope="module")
def starved_run(studio: StudioProcess) -> RunFolder:
    """A real run that ended at its second step, as one does that has no memory left."""
    prompts = studio.folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(prompt) + "\n" for prompt in train_prompts(12)))
    config = parse_config(
        {
            "name": "Too large",
            "student": {"model": str(student_dir())},
            "teacher": {"type": "local", "model": str(teacher_dir())},
            "data": {"path": str(prompts), "test_fraction": 0.3, "answer_match": "last_number"},
            "max_steps": NUM_STEPS,
            "batch_size": 4,
            "sampling": {"max_completion_tokens": 8},
            "checkpoint": {"every_steps": 1},
            "num_threads": 1,
            "device": "cpu",
        }
    )
    run = RunStore(studio.folder).create(config)
    assert RunProcess(run, fault_at="durable", step=2).wait() == -signal.SIGKILL
    fixes = (
        Fix(words="micro_batch_size: 2, for the same result", change={"micro_batch_size": 2}, same_result=True),
        Fix(words="sampling.max_completion_tokens: 3", change={"sampling": {"max_completion_tokens": 3}}),
    )
    failure = RunFailure(code="out_of_memory", message="No memory was left.", hint="In this order: …", fixes=fixes)
    run.end("failed", step=2, error=failure)
    return run


def answer(page: Page, title: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("article").filter(has=page.get_by_role("heading", name=title, exact=True))


def test_the_verdict_card_says_whether_it_helped_and_what_to_take(page: Page, studio: StudioProcess) -> None:
    page.goto(f"{studio.url}/opd/{RUN}")
    wait_for_verdict(page)
    card = page.get_by_role("region", name="Verdict")
    expect(card.get_by_test_id("headline")).to_contain_text(re.compile(r"Better:\s\d+\s%\sof\s\d+\sheld-out"))
    expect(card.get_by_test_id("recommended")).to_have_text(re.compile("Recommended: the distilled student"))
    exact = card.get_by_role("figure", name=re.compile("Exact match"))
    for subject in ("Before", "SFT baseline", "After", "Teacher"):
        expect(exact).to_contain_text(subject)
    expect(card.get_by_role("link", name="HTML")).to_have_count(0)  # this run's report was never written


def test_answers_are_followed_from_before_over_each_step_to_the_teachers(page: Page, studio: StudioProcess) -> None:
    page.goto(f"{studio.url}/opd/{RUN}")
    page.get_by_text("Answers to held-out prompts").wait_for()
    expect(answer(page, "Before")).to_contain_text("20+11=7")
    expect(answer(page, "Teacher")).to_contain_text("20+11=31")
    # Where student and teacher disagree, the token says by how much.
    expect(answer(page, "Before").get_by_title(re.compile(r"student 90\.5.%, teacher 0\.2.%"))).to_have_text("7")
    scrubber = page.get_by_role("slider", name="Step")
    expect(answer(page, "After")).to_contain_text("Step 120")
    scrubber.press("ArrowLeft")
    expect(answer(page, "Step 100")).to_be_visible()
    scrubber.press("Home")
    expect(answer(page, "Step 0")).to_contain_text("20+11=7")
    expect(answer(page, "Teacher")).to_contain_text("20+11=31")
    scrubber.press("End")
    expect(answer(page, "After")).to_contain_text("Step 120")


def test_a_run_without_memory_offers_changes_and_goes_on_with_one(
    page: Page, studio: StudioProcess, starved_run: RunFolder
) -> None:
    page.goto(f"{studio.url}/opd/{starved_run.run_id}")
    expect(page.get_by_text("No memory was left.").first).to_be_visible()
    offers = page.get_by_role("button", name=re.compile("^Set .*, and resume$"))
    expect(offers).to_have_text(
        [
            "Set micro_batch_size: 2, for the same result, and resume",
            "Set sampling.max_completion_tokens: 3, and resume",
        ]
    )
    offers.first.click()
    # It goes on from its checkpoint to its end, with its change, and says that it is not the same bit for bit any more.
    expect(chip(page, "Done")).to_be_visible(timeout=RUN_TIMEOUT_MS)
    assert starved_run.config().micro_batch_size == 2
    assert plotted_steps(page) == list(range(1, NUM_STEPS + 1))
    expect(page.get_by_text("Resumed from step 2")).to_be_visible()
    card = page.get_by_role("region", name="Verdict")
    expect(card.get_by_text(re.compile("Resumed with other settings.*not bit for bit"))).to_be_visible()
    expect(card.get_by_text("No memory was left.")).to_have_count(0)
    expect(offers).to_have_count(0)
