"""What a configuration takes, what it refuses, and that it says so without repeating a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from opd.config import (
    LocalTeacher,
    RunConfig,
    describe_problems,
    load_config,
    objective_needs,
    parse_config,
    resolve_paths,
    teacher_provides,
)
from opd.errors import ConfigError

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))
SECRET = "sk-canary-0123456789"


def minimal(**changes: Any) -> dict[str, Any]:
    return {
        "student": {"model": "Qwen/Qwen3-0.6B"},
        "teacher": {"type": "local", "model": "Qwen/Qwen3-4B"},
        "data": {"path": "prompts.jsonl"},
        **changes,
    }


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_loads_and_says_the_same_after_a_round_trip(file: Path) -> None:
    config = load_config(file)
    again = parse_config(yaml.safe_load(config.as_yaml()))
    assert again == config
    assert again.digest() == config.digest()


def test_lambda_is_another_name_of_the_on_policy_fraction() -> None:
    assert parse_config(minimal(**{"lambda": 0.4})) == parse_config(minimal(on_policy_fraction=0.4))


def test_a_changed_setting_changes_the_digest() -> None:
    digests = {parse_config(minimal(**change)).digest() for change in ({}, {"seed": 1}, {"max_steps": 7})}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"max_step": 3}, "max_step"),
        ({"max_steps": 0}, "max_steps"),
        ({"teacher": {"type": "oracle", "model": "x"}}, "teacher"),
        ({"teacher": {"type": "local", "model": "x", "key": SECRET}}, "teacher.key"),
        ({"data": {"path": "p", "answer_match": "regex"}}, "data"),
        ({"student": {"model": ""}}, "student.model"),
        ({SECRET: 1}, "(unknown key)"),
        ({"teacher": SECRET}, "teacher"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_path_and_never_repeated(change: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(minimal(**change))
    assert [field["path"] for field in caught.value.details["fields"]] == [path]
    assert SECRET not in str(caught.value) + str(caught.value.details)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("teacher", sorted(teacher_provides()))
@pytest.mark.parametrize("objective", sorted(objective_needs()))
def test_an_objective_is_refused_exactly_where_the_teacher_lacks_its_signal(teacher: str, objective: str) -> None:
    address = {"base_url": "http://127.0.0.1:8000/v1"} if teacher == "server" else {}
    data = minimal(
        teacher={"type": teacher, "model": "openai/gpt-4o-mini", **address},
        objective={"type": objective},
        on_policy_fraction=0.0 if objective == "imitation" else 1.0,
    )
    need = objective_needs()[objective]
    # Whoever can be read token by token is not asked to mark drafts.
    if need in teacher_provides()[teacher] and (need == "text") == (teacher == "chat"):
        assert isinstance(parse_config(data), RunConfig)
    else:
        with pytest.raises(ConfigError, match=f"a {teacher} teacher (gives|is read token by token)"):
            parse_config(data)


def test_imitation_is_not_called_on_policy() -> None:
    chat = {"type": "chat", "model": "openai/gpt-4o-mini"}
    with pytest.raises(ConfigError, match="never trains on the student's own text"):
        parse_config(minimal(teacher=chat, objective={"type": "imitation"}))


def test_paths_that_exist_become_absolute_and_ids_stay(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").touch()
    config = resolve_paths(parse_config(minimal()), tmp_path)
    assert config.data.path == str(tmp_path / "prompts.jsonl")
    assert isinstance(config.teacher, LocalTeacher)
    assert config.teacher.model == "Qwen/Qwen3-4B"


@pytest.mark.parametrize("text", ["- a list", "{", "\x00", "just words"])
def test_a_file_that_holds_no_settings_is_refused_in_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert caught.value.hint
    with pytest.raises(ConfigError, match="Cannot read"):
        load_config(tmp_path / "missing.yaml")


def test_the_location_of_a_whole_is_called_by_the_name_it_is_given() -> None:
    problem = {"type": "value_error", "loc": (), "msg": "Value error, do not go together"}
    assert describe_problems([problem], whole="(all)") == [
        {"path": "(all)", "message": "do not go together", "type": "value_error"}
    ]
