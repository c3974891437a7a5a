"""The probe on pairs that fit and pairs that do not: each misfit under its own code, with a way out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fake_servers import MODEL, Brain, fake_server
from loopback import dead_port, serving
from opd.config import RunConfig
from opd.teachers.base import TokenLaws
from opd.teachers.pair_checks import PROBE_CONVERSATIONS, PROBE_TEXTS
from opd.teachers.probe import ProbeReport, probe
from opd.teachers.tensors import stack_laws
from opd.teachers.tokenizer_folder import TemplateMissingError, TokenizerFolder, TokenizerUnusableError
from tokenizers_in_tests import byte_level, model_for

ONE = ("one_digit", 420, 0)
THREE = ("three_digits", 900, 1)
ONE_TOKENIZER = {"type": "policy_gradient"}


def make_folder(path: Path, kind: tuple[Any, ...] = THREE, seed: int = 0, **changes: Any) -> Path:
    tokenizer = byte_level(*kind)
    model = model_for(tokenizer, seed=seed, **changes)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def edit(path: Path, **changes: Any) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**found, **changes}))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    make_folder(root / "student", seed=1)
    make_folder(root / "teacher", seed=2)
    make_folder(root / "other", ONE, seed=3)
    return root


@pytest.fixture
def copies(models: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy that a test may break."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(models / name, tmp_path / name))

    return copy


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    lines = [{"messages": [{"role": "user", "content": f"What is {n} + {n}?" * (1 + n % 4)}]} for n in range(12)]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def run_config(student: Path, teacher: dict[str, Any], prompts: Path, **changes: Any) -> RunConfig:
    data = {
        "student": {"model": str(student)},
        "teacher": teacher,
        "data": {"path": str(prompts)},
        "sampling": {"max_completion_tokens": 64},
        **changes,
    }
    # What is tested here is the probe, not which objectives a configuration may name for a teacher.
    kind = {"local": "local", "server": "server", "chat": "chat"}[teacher["type"]]
    if kind == "local":
        return RunConfig.model_validate(data)
    local = RunConfig.model_validate({**data, "teacher": {"type": "local", "model": str(student)}})
    from pydantic import TypeAdapter

    from opd.config import Teacher

    return local.model_copy(update={"teacher": TypeAdapter(Teacher).validate_python(teacher)})


def local(student: Path, teacher: Path, prompts: Path, **changes: Any) -> RunConfig:
    return run_config(student, {"type": "local", "model": str(teacher)}, prompts, **changes)


def row(report: ProbeReport, code: str) -> Any:
    found = [one for one in report.rows if one.code == code]
    assert found, [(one.id, one.status, one.code, one.detail) for one in report.rows]
    return found[0]


def assert_blocks(report: ProbeReport, code: str) -> None:
    found = row(report, code)
    assert found.status == "fail"
    assert found.detail
    assert found.fix
    assert not report.ok
    assert report.finding == ""


# --- local pairs ---------------------------------------------------------------------------------


def test_a_good_pair(models: Path, prompts: Path) -> None:
    report = probe(local(models / "student", models / "teacher", prompts))
    assert report.ok, report.rows
    assert {one.status for one in report.rows} == {"ok"}
    assert report.finding == "token by token, full distribution"
    assert (report.signal, report.same_tokenizer, report.top_k) == ("distribution", True, None)


def test_padded_vocabularies_fit(models: Path, prompts: Path, tmp_path: Path) -> None:
    teacher = make_folder(
        tmp_path / "wide", vocab_size=152_064, hidden_size=8, intermediate_size=8, num_attention_heads=1,
        num_key_value_heads=1, num_hidden_layers=1,
    )  # fmt: skip
    student = make_folder(
        tmp_path / "narrow", vocab_size=151_936, hidden_size=8, intermediate_size=8, num_attention_heads=1,
        num_key_value_heads=1, num_hidden_layers=1,
    )  # fmt: skip
    report = probe(local(student, teacher, prompts))
    assert report.ok
    assert "151,936 and 152,064" in row(report, "vocabulary_padded").detail


def test_two_tokenizers(models: Path, prompts: Path) -> None:
    report = probe(local(models / "student", models / "other", prompts))
    assert report.ok
    assert row(report, "tokenizer_differs").status == "warn"
    assert report.finding == "token by token across tokenizers: 100 % of positions"
    assert report.share_of_positions == 1.0
    assert_blocks(
        probe(local(models / "student", models / "other", prompts, objective=ONE_TOKENIZER)), "tokenizer_differs"
    )


def test_gold_across_tokenizers_is_warned_of(models: Path, prompts: Path) -> None:
    report = probe(local(models / "student", models / "other", prompts, objective={"type": "gold"}))
    assert report.ok
    assert "can destroy the student" in row(report, "gold_across_tokenizers").detail
    same = probe(local(models / "student", models / "student", prompts, objective={"type": "gold"}))
    assert "gold_across_tokenizers" not in {found.code for found in same.rows}


def test_equal_width_and_another_tokenizer(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    spec = json.loads((teacher / "tokenizer.json").read_text())
    vocab = spec["model"]["vocab"]
    a, b = [name for name in vocab if len(name) == 1][40:42]
    vocab[a], vocab[b] = vocab[b], vocab[a]
    (teacher / "tokenizer.json").write_text(json.dumps(spec))
    report = probe(local(models / "student", teacher, prompts, objective=ONE_TOKENIZER))
    assert_blocks(report, "tokenizer_differs_same_width")


def test_a_vocabulary_beyond_the_outputs(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    edit(teacher / "config.json", vocab_size=100)
    assert_blocks(probe(local(models / "student", teacher, prompts)), "vocabulary_too_small")


def test_a_base_model_that_stops_at_another_token(models: Path, prompts: Path, copies: Any) -> None:
    student = copies("student")
    tokenizer = TokenizerFolder.load(student)
    base_end = tokenizer.vocabulary["<|endoftext|>"]
    edit(student / "generation_config.json", eos_token_id=base_end)
    edit(student / "tokenizer_config.json", eos_token="<|endoftext|>")
    report = probe(local(student, models / "teacher", prompts))
    assert_blocks(report, "eos_mismatch")
    assert str(tokenizer.vocabulary["<|im_end|>"]) in row(report, "eos_mismatch").fix


def test_no_end_token_at_all(models: Path, prompts: Path, copies: Any) -> None:
    student = copies("student")
    for name in ("generation_config.json", "config.json"):
        edit(student / name, eos_token_id=None)
    edit(student / "tokenizer_config.json", eos_token=None)
    assert_blocks(probe(local(student, models / "teacher", prompts)), "eos_missing")


def test_no_chat_template(models: Path, prompts: Path, copies: Any) -> None:
    for broken in ("student", "teacher"):
        folder = copies(broken)
        (folder / "chat_template.jinja").unlink()
        pair = {"student": models / "student", "teacher": models / "teacher", broken: folder}
        assert_blocks(probe(local(pair["student"], pair["teacher"], prompts)), "template_missing")


def test_templates_that_differ_are_shown(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    template = (teacher / "chat_template.jinja").read_text()
    (teacher / "chat_template.jinja").write_text(template.replace("assistant\n", "assistant\n<think>\n"))
    report = probe(local(models / "student", teacher, prompts))
    assert row(report, "template_differs").status == "warn"
    assert "teacher" in row(report, "think_tags_differ").detail
    assert report.ok


def test_a_context_that_is_too_short(models: Path, prompts: Path) -> None:
    report = probe(local(models / "student", models / "teacher", prompts, sampling={"max_completion_tokens": 500}))
    assert_blocks(report, "context_short")
    assert "500" in row(report, "context_short").detail


def test_models_that_are_not_here(models: Path, prompts: Path, tmp_path: Path) -> None:
    report = probe(local(models / "student", tmp_path / "nowhere", prompts))
    assert_blocks(report, "model_not_found")
    assert report.signal is None


def test_an_unsafe_folder_is_not_opened(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    edit(teacher / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"})
    assert_blocks(probe(local(models / "student", teacher, prompts)), "model_unsafe")


def test_a_folder_without_a_fast_tokenizer(models: Path, prompts: Path, copies: Any) -> None:
    teacher = copies("teacher")
    (teacher / "tokenizer.json").unlink()
    assert_blocks(probe(local(models / "student", teacher, prompts)), "tokenizer_unusable")
    (teacher / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerUnusableError, match="cannot be read"):
        TokenizerFolder.load(teacher)


# --- servers -------------------------------------------------------------------------------------


def brain_of(kind: tuple[Any, ...] = THREE, **changes: Any) -> Brain:
    tokenizer = byte_level(*kind)
    return Brain(model_for(tokenizer, seed=3), tokenizer, **changes)


def server(
    stack: ExitStack, student: Path, prompts: Path, brain: Brain, dialect: str = "vllm", **changes: Any
) -> RunConfig:
    address = stack.enter_context(serving(fake_server(dialect, brain)))
    teacher = {"type": "server", "base_url": address + "/v1", "model": MODEL, "dialect": dialect, **changes}
    return run_config(student, teacher, prompts)


@pytest.mark.parametrize(("dialect", "k"), [("vllm", 20), ("sglang", 20), ("fireworks", 5), ("together", 20)])
def test_a_good_server(stack: ExitStack, models: Path, prompts: Path, dialect: str, k: int) -> None:
    report = probe(server(stack, models / "student", prompts, brain_of(), dialect))
    assert report.ok, report.rows
    assert report.finding == f"token by token, top-{k}"
    assert (report.signal, report.top_k) == ("topk_logprobs", k)
    assert row(report, "server_scores").status == "ok"
    proof = "tokenizer_unproven" if dialect == "sglang" else "server_tokenizer_same"
    assert row(report, proof)


def test_a_server_that_lists_fewer(stack: ExitStack, models: Path, prompts: Path) -> None:
    report = probe(server(stack, models / "student", prompts, brain_of(fault="caps_k")))
    assert report.ok
    assert row(report, "server_lists_fewer").status == "warn"
    assert report.finding == "token by token, top-3"


def test_a_server_with_another_tokenizer(stack: ExitStack, models: Path, prompts: Path) -> None:
    brain = brain_of(ONE)
    tokens = len(brain.tokenizer)
    hidden = server(stack, models / "student", prompts, replace(brain, model=model_for(byte_level(*THREE), seed=3)))
    report = probe(hidden)  # the ids are all known to it, they only mean something else
    assert tokens < 900
    assert_blocks(report, "server_tokenizer_differs")
    told = server(stack, models / "student", prompts, brain, tokenizer=str(models / "other"))
    report = probe(told)
    assert report.ok, report.rows
    assert report.share_of_positions is not None
    assert 0.5 < report.share_of_positions <= 1
    assert report.finding == f"token by token across tokenizers: {int(100 * report.share_of_positions)} % of positions"


def only_tokenizer(model: Path, target: Path) -> Path:
    """What has to be fetched of a model that is elsewhere."""
    target.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(model / name, target / name)
    return target


@pytest.mark.parametrize("named", ["folder", "file"])
def test_of_a_served_teacher_the_tokenizer_is_enough(
    stack: ExitStack, models: Path, prompts: Path, tmp_path: Path, named: str
) -> None:
    folder = only_tokenizer(models / "other", tmp_path / "tokenizer")
    name = folder if named == "folder" else folder / "tokenizer.json"
    report = probe(server(stack, models / "student", prompts, brain_of(ONE), tokenizer=str(name)))
    assert report.ok, report.rows
    assert report.finding.startswith("token by token across tokenizers: ")
    whole = probe(server(stack, models / "student", prompts, brain_of(ONE), tokenizer=str(models / "other")))
    assert report.finding == whole.finding


def test_a_tokenizer_alone_is_no_local_teacher(models: Path, prompts: Path, tmp_path: Path) -> None:
    folder = only_tokenizer(models / "other", tmp_path / "tokenizer")
    assert_blocks(probe(local(models / "student", folder, prompts)), "model_not_found")


def test_a_tokenizer_without_its_template_says_what_is_missing(
    stack: ExitStack, models: Path, prompts: Path, tmp_path: Path
) -> None:
    folder = only_tokenizer(models / "other", tmp_path / "tokenizer")
    (folder / "chat_template.jinja").unlink()
    report = probe(server(stack, models / "student", prompts, brain_of(ONE), tokenizer=str(folder)))
    assert_blocks(report, "template_missing")
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": "evil.Tokenizer"})
    assert_blocks(
        probe(server(stack, models / "student", prompts, brain_of(ONE), tokenizer=str(folder))), "model_unsafe"
    )


FAULTS = {
    "retokenises": "teacher_retokenised",
    "truncates": "teacher_truncated",
    "other_ids": "teacher_other_ids",
    "shifted_late": "teacher_shifted",
    "all_shifted_early": "teacher_shifted",
    "other_model": "teacher_other_model",
    "no_scores": "teacher_gives_no_scores",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_server_is_no_teacher(stack: ExitStack, models: Path, prompts: Path, fault: Any) -> None:
    report = probe(server(stack, models / "student", prompts, brain_of(fault=fault)))
    found = row(report, FAULTS[fault])
    assert found.status == "fail"
    assert found.fix
    assert not report.ok
    assert not report.finding.startswith("token by token")


def test_nobody_at_the_address(models: Path, prompts: Path) -> None:
    teacher = {"type": "server", "base_url": f"http://127.0.0.1:{dead_port()}/v1", "model": MODEL}
    assert_blocks(probe(run_config(models / "student", teacher, prompts)), "teacher_unreachable")


def test_a_wrong_key_is_named_and_not_repeated(stack: ExitStack, models: Path, prompts: Path) -> None:
    config = server(stack, models / "student", prompts, brain_of(key="sk-right-0123456789"))
    report = probe(config, key="sk-wrong-0123456789")
    assert_blocks(report, "teacher_key_refused")
    assert "sk-wrong" not in report.model_dump_json()
    assert probe(config, key="sk-right-0123456789").ok


def test_a_server_with_a_short_context(stack: ExitStack, models: Path, prompts: Path) -> None:
    report = probe(server(stack, models / "student", prompts, brain_of(context_length=70)))
    assert_blocks(report, "context_short")
    assert "start the teacher with a longer context" in row(report, "context_short").fix


def test_a_chat_api_gives_answers_only(models: Path, prompts: Path) -> None:
    report = probe(run_config(models / "student", {"type": "chat", "model": "openai/gpt-4o-mini"}, prompts))
    assert (report.finding, report.signal, report.ok) == ("answers only: not token-level", "text", True)


# --- the quick reader against transformers -------------------------------------------------------


@pytest.mark.parametrize("name", ["student", "other"])
def test_the_quick_reader_reads_like_transformers(models: Path, name: str) -> None:
    from transformers import AutoTokenizer

    slow = AutoTokenizer.from_pretrained(models / name, local_files_only=True)
    quick = TokenizerFolder.load(models / name)
    for text in PROBE_TEXTS:
        assert quick.encode(text) == slow(text, add_special_tokens=False)["input_ids"]
    for conversation in PROBE_CONVERSATIONS:
        for prompt in (True, False):
            assert quick.render(conversation, prompt) == slow.apply_chat_template(
                list(conversation), tokenize=False, add_generation_prompt=prompt
            )
    assert quick.end_of_turn == slow.convert_tokens_to_ids("<|im_end|>")
    assert quick.num_tokens == len(slow)


TEMPLATES = {
    "roles_checked": "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('No system!') }}{% endif %}"
    "{{ bos_token }}[{{ m.role }}] {{ m.content | trim }}{% endfor %}",
    "json_and_loops": "{%- for m in messages -%}{%- if loop.first -%}{%- continue -%}{%- endif -%}"
    "{{ m | tojson }}{%- endfor -%}{% if add_generation_prompt %}>{% endif %}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{{ ns.n }}:{{ m['content'] }};{% endfor %}",
    "masked": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_in_the_wild_render_alike(copies: Any, name: str) -> None:
    from transformers import AutoTokenizer

    folder = copies("student")
    (folder / "chat_template.jinja").write_text(TEMPLATES[name])
    edit(folder / "tokenizer_config.json", bos_token="<|im_start|>")
    slow, quick = AutoTokenizer.from_pretrained(folder, local_files_only=True), TokenizerFolder.load(folder)
    for conversation in PROBE_CONVERSATIONS:
        if name == "roles_checked" and conversation[0]["role"] == "system":
            with pytest.raises(TemplateMissingError, match="No system!"):
                quick.render(conversation)
            continue
        assert quick.render(conversation) == slow.apply_chat_template(
            list(conversation), tokenize=False, add_generation_prompt=True
        )


def test_a_template_cannot_leave_its_sandbox(copies: Any) -> None:
    folder = copies("student")
    (folder / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(TemplateMissingError):
        TokenizerFolder.load(folder).render(PROBE_CONVERSATIONS[0])


def test_a_signal_as_tensors() -> None:
    rows = (
        TokenLaws(np.array([[1, 2]]), np.array([[-0.5, -1.0]], np.float32), np.array([-0.5], np.float32)),
        TokenLaws(np.empty((0, 0), np.int64), np.empty((0, 0), np.float32), np.empty(0, np.float32)),
        TokenLaws(np.array([[3, 4, 5]]), np.array([[-1, -2, -3]], np.float32), np.array([-2.0], np.float32)),
    )
    ids, logprobs, observed = stack_laws(rows)
    assert ids.tolist() == [[1, 2, -1], [3, 4, 5]]
    assert logprobs.tolist() == [[-0.5, -1.0, -torch.inf], [-1, -2, -3]]
    assert observed.tolist() == [-0.5, -2.0]
