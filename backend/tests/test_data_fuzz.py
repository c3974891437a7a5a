"""Any bytes at all: never a traceback, and every complaint at its place."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_files import write
from opd.data_loader import check_file, load_prompts, render_report
from opd.data_loader.json_walk import locate
from opd.data_loader.strict_json import parse_line
from opd.errors import DataError
from tests.data_corpus import CASES

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["messages", "role", "content", "prompt", "answer", "from", "value"]), inner)
    ),
    max_leaves=12,
)
message_like = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "x", None]), "content": json_like}
)
line_like = st.one_of(
    st.binary(max_size=80),
    json_like.map(lambda value: json.dumps(value).encode()),
    st.lists(message_like, max_size=5).map(lambda value: json.dumps({"messages": value}).encode()),
    st.sampled_from([case.data[:2000] for case in CASES]),
)


def spoil(data: bytes, position: int, byte: int) -> bytes:
    """Flip one byte, so that nearly valid lines are common."""
    position %= max(len(data), 1)
    return data[:position] + bytes([byte]) + data[position + 1 :]


@settings(max_examples=400, deadline=None)
@given(st.lists(line_like, max_size=6), st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_random_bytes_never_break_the_reader(lines: list[bytes], position: int, byte: int, flip: bool) -> None:
    data = b"\n".join(lines)
    data = spoil(data, position, byte) if flip else data
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), data)
        report = check_file(path)
        assert json.loads(json.dumps(report.as_dict()))
        assert render_report(report)
        for problem in report.problems:
            assert problem.fix
            assert 0 <= problem.byte_offset <= len(data)
            assert problem.line == data[: problem.byte_offset].count(b"\n") + 1
        if report.ok:
            assert len(load_prompts(path)) == report.num_samples
        else:
            with pytest.raises(DataError):
                load_prompts(path)


@settings(deadline=None)
@given(json_like)
def test_strict_parsing_agrees_with_json_where_both_accept(value: object) -> None:
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    parsed, flaw = parse_line(data)
    if flaw is None:
        assert parsed == json.loads(data)
    else:
        assert flaw.code in {"not_a_number", "nul_character", "huge_number", "invalid_utf8", "lone_surrogate"}


def test_locate_finds_every_value_of_a_nested_line() -> None:
    data = '{"é": [1, {"b\\"": "x"}, []], "c": {"d": null}}'.encode()
    places = {("é",): b"[1", ("é", 0): b"1", ("é", 1, 'b"'): b'"x"', ("é", 2): b"[]", ("c", "d"): b"null"}
    for path, mark in places.items():
        assert locate(data, path) == data.index(mark)
    assert locate(data, ("c", "missing", 3)) == data.index(b'{"d"')
    assert locate(data, ()) == 0
