"""What the speed measurement works on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from opd.bench.workloads import WORKLOADS, find_workload, make_model, make_prompts, make_student, text_of
from opd.errors import ConfigError

MICRO = Path(__file__).parent / "micro.yaml"


def test_the_built_in_sizes_are_those_that_are_promised() -> None:
    def millions(name: str, who: str) -> float:
        workload = WORKLOADS[name]
        shape = getattr(workload, who)
        with torch.device("meta"):
            model = make_model(shape, workload.vocabulary, 0)
        return round(sum(p.numel() for p in model.parameters()) / 1e6, 1)

    assert (millions("realistic", "student"), millions("realistic", "teacher")) == (17.6, 41.6)
    assert (millions("toy", "student"), millions("toy", "teacher")) == (0.6, 1.7)
    assert 500 < millions("gpu", "student") < 1000
    assert millions("gpu", "teacher") > 2.5 * millions("gpu", "student")


def test_text_encodes_to_the_ids_asked_for() -> None:
    workload = find_workload(MICRO)
    student, prompts = make_student(workload, torch.device("cpu")), make_prompts(workload)
    assert [len(p) for p in prompts] == [3, 4, 5, 6]
    assert [student.tokenizer(text_of(p))["input_ids"] for p in prompts] == prompts
    assert all(0 < i < workload.vocabulary for p in prompts for i in p)


def test_no_model_can_write_the_end_token() -> None:
    workload = find_workload(MICRO)
    student = make_student(workload, torch.device("cpu"))
    assert student.eos_ids == (workload.vocabulary,)
    assert student.model(torch.tensor([[1]])).logits.shape[-1] == workload.vocabulary


def test_equal_seeds_give_equal_models() -> None:
    shape = find_workload(MICRO).student
    one, same, other = (make_model(shape, 64, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize(
    ("text", "message"),
    [("student: {width: 16}", "rows"), ("- 1", "workload"), ("a: [", "workload"), ("colour: red", "colour")],
)
def test_a_file_that_is_no_workload_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        find_workload(path)


def test_an_unknown_name_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="toy, realistic, long-prompt, gpu"):
        find_workload("huge")
