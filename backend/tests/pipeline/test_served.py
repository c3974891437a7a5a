"""Whole runs with a teacher behind a server, and with one that divides text differently: real loopback, real models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fake_servers import MODEL, Brain, fake_server
from loopback import serving
from opd.config import RunConfig, parse_config
from opd.demo.bundled import student_dir, teacher_dir
from opd.demo.settings import demo_config
from opd.events import RunEvent, StepLogged
from opd.pipeline.run import run_folder
from opd.serving.app import create_serving_app
from opd.store.runs import RunFolder, RunStore
from opd.teachers import http
from opd.training import checkpoint
from tokenizers_in_tests import byte_level, model_for

STEPS = 6
SAME, OTHER = ("three_digits", 500, 1), ("one_digit", 420, 0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, kind, seed in (("student", SAME, 1), ("teacher", SAME, 2), ("other", OTHER, 3)):
        tokenizer = byte_level(*kind)
        model_for(tokenizer, seed=seed).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    prompts = [{"messages": [{"role": "user", "content": f"What is {n} + {n}?"}]} for n in range(10)]
    (root / "prompts.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return root


def config(folders: Path, teacher: dict[str, Any], **changes: Any) -> RunConfig:
    settings: dict[str, Any] = {
        "student": {"model": str(folders / "student")},
        "teacher": teacher,
        "data": {"path": str(folders / "prompts.jsonl"), "test_fraction": 0.3},
        "max_steps": STEPS,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "sampling": {"max_completion_tokens": 8},
        "evaluation": {"probe_every_steps": 4, "probe_prompts": 1},
        "num_threads": 1,
        "device": "cpu",
    }
    return parse_config(settings | changes)


def server(url: str, **settings: Any) -> dict[str, Any]:
    return {"type": "server", "base_url": f"{url}/v1", "model": MODEL, **settings}


def steps(run: RunFolder) -> list[int]:
    with run.reader() as reader:
        return [s.event.step for s in reader.read(0, 2000) if isinstance(s.event, StepLogged)]


# --- the bundled teacher behind `opd serve` ----------------------------------------------------------


def test_the_bundled_teacher_teaches_through_opd_serve(tmp_path: Path) -> None:
    demo = demo_config().model_dump(mode="json", exclude={"objective"})
    with serving(create_serving_app(teacher_dir(), name="bundled")) as url:
        settings = {
            "teacher": {"type": "server", "base_url": f"{url}/v1", "model": "bundled"},
            "max_steps": 3,
            "on_policy_fraction": 0.5,  # so that its own answers are asked for as well
            "baseline": {"enabled": False},
            "evaluation": {**demo["evaluation"], "max_prompts": 12},
        }
        run = RunStore(tmp_path).create(parse_config({**demo, **settings}))
        assert run_folder(run) == 0
    summary = run.summary()
    assert summary.started is not None
    assert summary.started.signal == "token by token, top-20"
    assert steps(run) == [1, 2, 3]
    assert summary.evaluations["teacher"].metrics["exact_match"].mean > 0.9, "asked in words, graded like the student"
    assert 0.3 < summary.evaluations["before"].metrics["reverse_kl"].mean < 2
    answers = json.loads((run.path / "stages" / "answers.json").read_text())
    assert sum(finished for _, finished in answers) > 0.9 * len(answers)


# --- a server that dies --------------------------------------------------------------------------------


class Mortal:
    """An ASGI application that answers until it is told to be dead."""

    def __init__(self, app: Any):
        self.app, self.alive = app, True

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        if self.alive:
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"gone"})


def test_a_server_that_dies_pauses_the_run_and_resume_goes_on(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_FIRST_BACKOFF_S", 0.001)
    mortal = Mortal(create_serving_app(folders / "teacher", name=MODEL))
    with serving(mortal) as url:
        run = RunStore(tmp_path).create(config(folders, server(url), evaluation={"enabled": False, "probe_prompts": 0}))

        def dies(event: RunEvent) -> None:
            if isinstance(event, StepLogged) and event.step == 3:
                mortal.alive = False

        assert run_folder(run, observe=dies) == 1
        assert run.state() == "paused"
        failure = run.failure()
        assert failure is not None
        assert failure.code == "teacher_overloaded"
        found, rejected = checkpoint.newest_verified(run.checkpoints_path)
        assert rejected == []
        assert found is not None
        assert found.step == 3 == steps(run)[-1], "what was learnt is saved, and nothing was learnt from silence"
        assert run_folder(run) == 1, "it is still away: paused again, nothing lost"
        assert run.state() == "paused"
        mortal.alive = True
        assert run_folder(run) == 0
    assert run.state() == "done"
    assert steps(run) == list(range(1, STEPS + 1)), "each step once"
    assert run.summary().exactness == "exact"


# --- servers that must not be believed ----------------------------------------------------------------


REFUSALS = {
    "retokenises": "teacher_retokenised",
    "truncates": "teacher_truncated",
    "other_ids": "teacher_other_ids",
    "shifted_late": "teacher_shifted",
    "all_shifted_late": "teacher_shifted",
    "all_shifted_early": "teacher_shifted",
    "caps_k": "teacher_caps_k",
    "other_model": "teacher_other_model",
    "no_scores": "teacher_gives_no_scores",
    "wants_key": "teacher_key_refused",
}


# For the other dialects those that each writes down differently; the rest: teachers/test_scoring_server.py.
CASES = [("vllm", fault) for fault in REFUSALS] + [
    (dialect, fault)
    for dialect in ("sglang", "fireworks", "together")
    for fault in ("retokenises", "truncates", "other_ids", "all_shifted_late", "caps_k", "other_model")
]


@pytest.mark.parametrize(("dialect", "fault"), CASES)
def test_a_server_that_must_not_be_believed_is_refused_before_the_first_step(
    folders: Path, tmp_path: Path, dialect: str, fault: Any
) -> None:
    tokenizer = byte_level(*SAME)
    brain = Brain(model_for(tokenizer, seed=2), tokenizer, fault, key="secret-key" if fault == "wants_key" else None)
    with serving(fake_server(dialect, brain)) as url:
        run = RunStore(tmp_path).create(config(folders, server(url, dialect=dialect)))
        assert run_folder(run) != 0
    failure = run.failure()
    assert failure is not None
    assert failure.code == REFUSALS[fault]
    assert failure.hint
    assert run.summary().step == 0
    assert "before" not in run.summary().evaluations


def test_a_server_with_another_tokenizer_is_found_out_by_its_words(folders: Path, tmp_path: Path) -> None:
    tokenizer = byte_level(*OTHER)
    with serving(fake_server("vllm", Brain(model_for(tokenizer, seed=3, vocab_size=600), tokenizer))) as url:
        run = RunStore(tmp_path).create(config(folders, server(url)))
        assert run_folder(run) == 2
    failure = run.failure()
    assert failure is not None
    assert "for the server" in failure.message
    assert "teacher.tokenizer" in failure.hint
    assert run.summary().step == 0


# --- another tokenizer ----------------------------------------------------------------------------------


def tokenizer_alone(model: Path, target: Path) -> Path:
    """What a machine that is not the teacher's needs of it."""
    target.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(model / name, target / name)
    return target


@pytest.mark.parametrize("where", ["local", "served"])
@pytest.mark.parametrize(("student", "teacher"), [("student", "other"), ("other", "teacher")])
def test_a_teacher_with_another_tokenizer_trains_the_student(
    folders: Path, tmp_path: Path, where: str, student: str, teacher: str
) -> None:
    changes = {"student": {"model": str(folders / student)}, "max_steps": 3, "on_policy_fraction": 0.5}
    if where == "local":
        run = RunStore(tmp_path).create(config(folders, {"type": "local", "model": str(folders / teacher)}, **changes))
        assert run_folder(run) == 0
    else:
        with serving(create_serving_app(folders / teacher, name=MODEL)) as url:
            named = server(url, tokenizer=str(tokenizer_alone(folders / teacher, tmp_path / "tokenizer")))
            run = RunStore(tmp_path).create(config(folders, named, **changes))
            assert run_folder(run) == 0
    summary = run.summary()
    assert summary.started is not None
    assert summary.started.signal.startswith("token by token across tokenizers: ")
    assert steps(run) == [1, 2, 3]
    # Random models write broken characters, after which no text is left to compare; a server's list is short.
    assert 0 < summary.latest["scored_share"] <= 1  # type: ignore[operator]  # None would fail here, as it should
    assert summary.latest["reverse_kl"] is not None
    assert summary.evaluations["after"].metrics["reverse_kl"].mean > 0


def test_one_tokenizer_read_as_two_gives_the_plain_divergence(folders: Path) -> None:
    """The whole path from rows to gradient, with the correspondence of a tokenizer with itself."""
    import torch

    from opd.objectives.divergence import head_of
    from opd.pipeline.teachers.tokenizers import Reading
    from opd.teachers.tokenizer_folder import TokenizerFolder
    from opd.training.across import AcrossView, ModelLaws
    from opd.training.decoding import Completion
    from opd.training.models import Student, backbone_of, load_tokenizer, load_weights
    from opd.training.signals import LocalDistribution
    from opd.training.timing import PhaseClock
    from opd.training.views import ViewSignal
    from opd.training.window import Row, hidden_states, split_window

    cpu = torch.device("cpu")
    student, teacher = (load_weights(path, torch.float32, cpu) for path in (student_dir(), teacher_dir()))
    tokenizer, folder = load_tokenizer(student_dir()), TokenizerFolder.load(student_dir())
    who = Student(student, tokenizer, folder.facts, folder.eos_ids, int(tokenizer.pad_token_id), False)
    reading = Reading(who, TokenizerFolder.load(teacher_dir()))
    prompt = tuple(folder.encode(folder.render([{"role": "user", "content": "Cloud 34, Ads 57. Total?"}])))
    texts = ["4+7=11\n3+5+1=9\n=91", "4+7=12\n3+5=8\n=82", "=9"]
    rows = [Row(prompt, Completion((*folder.encode(text), folder.eos_ids[0]), True), True) for text in texts]
    (batch,) = split_window(rows, pad_id=who.pad_id, device=cpu)
    view = AcrossView(reading.correspondence, ModelLaws(teacher, pad_id=0), {prompt: prompt}, beta=1.0)
    found = []
    for signal in (LocalDistribution(teacher, beta=1.0), ViewSignal(view)):
        signal.score(rows)
        hidden = hidden_states(backbone_of(student), batch)
        part = signal.loss(batch, hidden, head_of(student), float(len(batch.targets_N)), PhaseClock(cpu))
        (grad,) = torch.autograd.grad(part.loss, hidden)
        found.append((part.loss.detach(), part.reverse_kl_N, grad))
    for plain, across in zip(*found, strict=True):
        torch.testing.assert_close(plain, across, rtol=1e-4, atol=1e-5)
