"""A tiny model and the endpoint that serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback import serving
from opd.serving.app import create_serving_app
from opd.serving.loading import ServedModel, load_served
from tokenizers_in_tests import byte_level, model_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = byte_level("three_digits", 900, 1)
    model_for(tokenizer, seed=3).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def served(folder: Path) -> ServedModel:
    return load_served(folder, device="cpu")


@pytest.fixture(scope="module")
def address(served: ServedModel) -> Iterator[str]:
    with serving(create_serving_app(served, name="tiny")) as origin:
        yield origin + "/v1"
