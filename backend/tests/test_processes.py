"""What a process of ours may see of the environment it is started from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opd.processes import child_environment


def test_the_environment_of_a_process_holds_no_secret_and_what_it_needs() -> None:
    given = {
        "OPENAI_API_KEY": "x", "HF_TOKEN": "x", "OPD_LOCAL_API_KEY": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "DB_PASSWORD": "x", "SOMETHING": "x", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "0",
        "HF_HUB_OFFLINE": "1", "HF_HUB_TOKEN": "x", "PYTHONPATH": "relative",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        kept = child_environment()
    assert {name for name in given if name in kept} == {
        "TOKENIZERS_PARALLELISM", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "PYTHONPATH",
    }  # fmt: skip
    assert kept["PATH"] == os.environ["PATH"]
    assert all(Path(part).is_absolute() for part in kept["PYTHONPATH"].split(os.pathsep))
