"""Damaged databases: refused in words with a way out, left byte for byte as they are, never replaced by empty ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opd.config import parse_config
from opd.errors import StorageError
from opd.events import StepLogged
from opd.store.money import Ledger
from opd.store.runs import RunFolder, RunStore
from opd.store.studio import DatasetRow, StudioDb

PAGE = 4096


def make_events(root: Path) -> Path:
    settings = {"student": {"model": "s"}, "teacher": {"type": "local", "model": "t"}, "data": {"path": "p.jsonl"}}
    run = RunStore(root).create(parse_config(settings), "run")
    writer = run.writer()
    writer.append(*(StepLogged(step=step, metrics={"loss": 1.0 / step, "entropy": 2.0}) for step in range(1, 400)))
    writer.close()
    return run.events_path


def read_events(path: Path) -> Any:
    run = RunFolder(path.parent)
    run.writer().close()
    with run.reader() as reader:
        return reader.read_text(), reader.buckets(["loss", "entropy"], max_points=10_000)


def make_studio(root: Path) -> Path:
    db = StudioDb(root / "studio.db")
    for number in range(200):
        db.add_dataset(DatasetRow(f"id{number}", "name" * 20, "file.jsonl", float(number), "{}"))
        db.enqueue(f"run-{number}")
    db.close()
    return root / "studio.db"


def read_studio(path: Path) -> Any:
    db = StudioDb(path)
    try:
        return db.datasets(), db.queued()
    finally:
        db.close()


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "events.db": (make_events, read_events),
    "studio.db": (make_studio, read_studio),
}


def attempt(read: Callable[[Path], Any], path: Path) -> Any:
    """What is read, or the refusal."""
    try:
        return read(path)
    except StorageError as error:
        return error


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_that_was_overwritten_is_found(tmp_path: Path, kind: str) -> None:
    make, read = KINDS[kind]
    path, rng = make(tmp_path), random.Random(kind)
    whole, expected = path.read_bytes(), read(path)
    num_pages, refused = len(whole) // PAGE, 0
    assert num_pages > 10
    for page in range(num_pages):
        path.write_bytes(whole[: page * PAGE] + rng.randbytes(PAGE) + whole[(page + 1) * PAGE :])
        before = path.read_bytes()
        found = attempt(read, path)
        if not isinstance(found, StorageError):
            assert found == expected, f"page {page} was damaged, and something else was read"
            continue
        refused += 1
        assert path.name in found.message
        assert found.hint
        assert path.read_bytes() == before, "the damaged file is evidence"
    assert refused == num_pages


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
def test_a_file_that_was_cut_is_found(tmp_path: Path, kind: str, share: float) -> None:
    make, read = KINDS[kind]
    path = make(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    before = path.read_bytes()
    with pytest.raises(StorageError, match=path.name) as refused:
        read(path)
    assert refused.value.hint
    assert path.read_bytes() == before


def test_a_log_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    path = make_events(tmp_path)
    path.unlink()
    with pytest.raises(StorageError, match=r"events\.db"):
        RunFolder(path.parent).writer()
    assert not path.exists()


def test_an_empty_ledger_file_is_not_taken_for_a_new_ledger(tmp_path: Path) -> None:
    path = tmp_path / "money.db"
    Ledger(path).close()
    path.write_bytes(b"")
    with pytest.raises(StorageError, match=r"money\.db is damaged") as refused:
        Ledger(path)
    assert "no longer counted" in refused.value.hint
    assert path.read_bytes() == b""


def test_something_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    for name, opened in (("studio.db", StudioDb), ("money.db", Ledger)):
        path = tmp_path / name
        path.write_bytes(b"my notes, not a database" * 400)
        with pytest.raises(StorageError, match=name):
            opened(path)
        assert path.read_bytes() == b"my notes, not a database" * 400
