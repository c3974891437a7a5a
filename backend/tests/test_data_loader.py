"""The data loader: what it reads, what it refuses and where it says the problem is."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opd.data_loader import DataReport, Message, PromptRecord, check_file, load_prompts, prompt_id, render_report, split
from opd.data_loader.json_walk import locate
from opd.data_loader.reader import CHUNK_BYTES
from opd.data_loader.report import FirstLines
from opd.data_loader.strict_json import parse_line
from opd.errors import DataError
from tests.data_corpus import CASES, GOOD, OTHER, BadFile, turns, user

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_bytes(data)
    return path


def check(tmp_path: Path, data: bytes, **options: Any) -> DataReport:
    return check_file(write(tmp_path, data), **options)


def codes(report: DataReport, severity: str = "error") -> list[str]:
    return [problem.code for problem in report.problems if problem.severity == severity]


# --- broken files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_names_what_is_wrong_and_where(case: BadFile, tmp_path: Path) -> None:
    report = check(tmp_path, case.data)
    errors = [problem for problem in report.problems if problem.severity == "error"]
    assert not report.ok
    assert [(p.code, p.line, p.byte_offset) for p in errors] == [(case.code, case.line, case.byte_offset)]
    assert errors[0].reason
    assert errors[0].fix
    assert errors[0].reason.isprintable()
    with pytest.raises(DataError) as raised:
        load_prompts(tmp_path / "data.jsonl")
    assert f"line {case.line}, byte {case.byte_offset}" in raised.value.hint


def test_the_corpus_is_large_and_every_case_is_another() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len({case.data for case in CASES}) == len(CASES)


def test_a_bad_line_does_not_hide_the_next(tmp_path: Path) -> None:
    report = check(tmp_path, b"nonsense\n" + GOOD + user(b'""') + b"\n" + user(b"NaN") + b"\n")
    assert [(problem.line, problem.code) for problem in report.problems] == [
        (1, "not_json"),
        (3, "content_empty"),
        (4, "not_a_number"),
    ]
    assert report.num_samples == 1


def test_all_flaws_of_one_line_are_reported(tmp_path: Path) -> None:
    line = b'{"messages":[{"role":"usr","content":"a"},{"role":"user","content":""}]}\n'
    report = check(tmp_path, line)
    assert codes(report) == ["role_unknown", "content_empty"]
    assert [problem.byte_offset for problem in report.problems] == [line.index(b'"usr"'), line.index(b'""')]


def test_lists_are_cut_at_the_limit_and_counts_are_not(tmp_path: Path) -> None:
    report = check(tmp_path, b"nonsense\n" * 250 + GOOD * 250, max_errors=20)
    assert len(codes(report)) == 20
    assert len(codes(report, "warning")) == len(report.duplicates) == 20
    assert (report.num_errors, report.num_duplicates) == (250, 249)
    assert report.problem_counts["not_json"] == 250
    assert "459 more problems" in render_report(report)


def test_the_fix_names_the_likely_meaning(tmp_path: Path) -> None:
    wrong = {
        b'{"messagse":[]}': '"messages"',
        turns("developer", "user"): '"system"',
        turns("humman"): "user",
        b'{"messages":[{"role":"user","contents":"a"}]}': 'Rename "contents" to "content"',
    }
    for line, expected in wrong.items():
        assert expected in check(tmp_path, line).problems[0].fix


# --- files that are fine ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        GOOD + OTHER,
        (GOOD + OTHER)[:-1],
        GOOD.replace(b"\n", b"\r\n") + OTHER.replace(b"\n", b"\r\n"),
        b"\n" + GOOD + b"  \n\n" + OTHER + b"\n\n",
        b"\xef\xbb\xbf" + GOOD + OTHER,
        b"  " + GOOD + b"\t" + OTHER,
    ],
    ids=["plain", "no final newline", "crlf", "blank lines", "bom", "indented"],
)
def test_harmless_variants_hold_the_same_prompts(data: bytes, tmp_path: Path) -> None:
    records = load_prompts(write(tmp_path, data))
    assert [record.messages[0]["content"].split()[-1] for record in records] == ["copper?", "wheat?"]
    assert check(tmp_path, data).ok


@pytest.mark.parametrize(
    "text",
    [
        "line\u2028separator\u2029and\x85next",
        "👩‍🔬 ZWJ",
        "שלום right to left",
        "e\u0301 decomposed",
        'a \\ b / c " d',
        "x\ufeffy",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ],
)
def test_any_text_survives_unchanged(text: str, tmp_path: Path) -> None:
    for ascii_only in (True, False):
        line = json.dumps({"messages": [{"role": "user", "content": text}]}, ensure_ascii=ascii_only)
        assert load_prompts(write(tmp_path, line.encode()))[0].messages[0]["content"] == text


def test_offsets_hold_across_read_chunks(tmp_path: Path) -> None:
    long_line = user(b'"' + b"x" * (CHUNK_BYTES - 300) + b'"') + b"\n"
    data = long_line + GOOD * 10 + b"nonsense\n" + long_line + b"nonsense"
    problems = [problem for problem in check(tmp_path, data).problems if problem.severity == "error"]
    assert [problem.line for problem in problems] == [12, 14]
    assert [problem.byte_offset for problem in problems] == [data.index(b"nonsense"), data.rindex(b"nonsense")]


def test_a_line_of_exactly_the_cap_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    size = len(GOOD) - 1
    assert check(tmp_path, GOOD + GOOD, max_line_bytes=size).ok
    report = check(tmp_path, OTHER[:20] + b"\n" + GOOD + OTHER, max_line_bytes=size - 1)
    assert (report.problems[1].code, report.problems[1].line) == ("line_too_long", 2)
    assert report.problems[1].byte_offset == 21


def test_statistics(tmp_path: Path) -> None:
    data = turns("system", "user") + b"\n" + turns("user", "assistant", "user", "assistant") + b"\n" + turns("user")
    report = check(tmp_path, data)
    assert (report.num_samples, report.num_messages, report.num_system_messages) == (3, 7, 1)
    assert report.average_messages == pytest.approx(7 / 3)
    assert report.role_counts == {"system": 1, "user": 4, "assistant": 2}
    assert report.num_references == 1
    assert (report.prompt_chars.minimum, report.prompt_chars.median, report.prompt_chars.maximum) == (6, 12, 18)
    assert report.prompt_chars.mean == 12
    assert report.num_lines == 3
    assert report.size_bytes == len(data)
    assert json.loads(json.dumps(report.as_dict()))["num_messages"] == 7


def test_a_trailing_assistant_message_is_the_reference_not_the_prompt(tmp_path: Path) -> None:
    path = write(tmp_path, turns("user", "assistant", "user", "assistant"))
    (record,) = load_prompts(path)
    assert [message["role"] for message in record.messages] == ["user", "assistant", "user"]
    assert record.answer == "text 3"
    assert "reference answer" in render_report(check_file(path))


@pytest.mark.parametrize(
    ("line", "form", "expected", "answer"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "messages", ["a"], None),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": "b"}, "prompt_messages", ["a"], "b"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "sharegpt", ["a"], "b"),
        ({"conversations": [{"role": "user", "content": "a"}]}, "sharegpt", ["a"], None),
        ({"instruction": "a", "input": "c", "output": "b"}, "alpaca", ["a\n\nc"], "b"),
        ({"instruction": "a", "input": "", "output": "", "system": "s"}, "alpaca", ["s", "a"], None),
        ({"prompt": "a", "completion": "b"}, "prompt", ["a"], "b"),
        ({"question": "a", "answer": "b"}, "question", ["a"], "b"),
    ],
)
def test_other_formats_become_messages(
    line: dict[str, object], form: str, expected: list[str], answer: str | None, tmp_path: Path
) -> None:
    path = write(tmp_path, json.dumps(line).encode())
    (record,) = load_prompts(path)
    report = check_file(path)
    assert [message["content"] for message in record.messages] == expected
    assert record.messages[-1]["role"] == "user"
    assert (record.answer, report.format) == (answer, form)
    assert ("converted" in report.problem_counts) == (form != "messages")


def test_mixed_formats_are_named(tmp_path: Path) -> None:
    report = check(tmp_path, GOOD + b'{"prompt":"a"}\n')
    assert (report.format, report.formats) == ("mixed", {"messages": 1, "prompt": 1})


def test_duplicates_are_reported_with_both_lines(tmp_path: Path) -> None:
    twin = GOOD.replace(b"price of", b"price  of")
    composed, decomposed = user('"caf\u00e9"'.encode()), user('"cafe\u0301"'.encode())
    report = check(tmp_path, GOOD + OTHER + twin + composed + b"\n" + decomposed)
    assert [(found.line, found.first_line) for found in report.duplicates] == [(3, 1), (5, 4)]
    assert codes(report, "warning") == ["duplicate_prompt"] * 2
    assert report.ok


def test_the_examples_have_the_promised_statistics() -> None:
    for name, samples, train in (("on_policy_prompts_test", 5, 4), ("on_policy_prompts", 119, 95)):
        path = EXAMPLES / f"{name}.jsonl"
        report = check_file(path)
        assert (report.ok, report.problems, report.num_samples) == (True, (), samples)
        assert (report.num_messages, report.average_messages) == (2 * samples, 2.0)
        assert report.num_system_messages == samples
        divided = split(load_prompts(path), 0.2, seed=0)
        assert (len(divided.train), len(divided.test)) == (train, samples - train)


def test_the_example_prompts_are_all_different() -> None:
    records = [
        *load_prompts(EXAMPLES / "on_policy_prompts.jsonl"),
        *load_prompts(EXAMPLES / "on_policy_prompts_test.jsonl"),
    ]
    grams = []
    for record in records:
        words = re.findall(r"\w+", record.messages[-1]["content"].lower())
        assert len(words) >= 15
        grams.append({tuple(words[i : i + 5]) for i in range(len(words) - 4)})
    overlap = max(len(a & b) / len(a | b) for i, a in enumerate(grams) for b in grams[:i])
    assert overlap < 0.5
    assert len({record.messages[0]["content"] for record in records}) >= 15
    topics = " ".join(record.messages[-1]["content"] for record in records[-5:])
    for topic in ("chipmaker", "Federal Reserve", "India", "Lithium", "Japan"):
        assert topic in topics


# --- files that are no files ------------------------------------------------------------------------


def refusal(path: Path) -> tuple[object, DataError]:
    with pytest.raises(DataError) as raised:
        check_file(path)
    assert raised.value.hint
    return raised.value.details["problem"], raised.value


def test_a_missing_file_a_folder_and_a_bad_name(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.jsonl")[0] == "missing"
    assert refusal(write(tmp_path, GOOD) / "below")[0] == "missing"
    assert refusal(tmp_path)[0] == "directory"
    assert refusal(Path("a\0b"))[0] == "unreadable"
    assert refusal(tmp_path / ("x" * 5000))[0] == "unreadable"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_devices_and_sockets_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe")[0] == "fifo"
    assert refusal(Path("/dev/zero"))[0] == "special_file"
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.getcwd()
        os.chdir(tmp_path)  # a socket's path is limited to about 100 characters
        try:
            listener.bind("sock")
        finally:
            os.chdir(directory)
        assert refusal(tmp_path / "sock")[0] == "special_file"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_not_followed(tmp_path: Path) -> None:
    target = write(tmp_path, GOOD)
    link = tmp_path / "link.jsonl"
    link.symlink_to(target)
    assert refusal(link)[0] == "symlink"
    target.unlink()
    assert refusal(link)[0] == "symlink"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to give up root's rights")
def test_a_forbidden_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    path.chmod(0)
    child = os.fork()
    if child == 0:
        code = 9
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            code = 7 if refusal(path)[0] == "permission" else 8
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_file_that_grows_while_it_is_read_is_not_trusted(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD * 3)

    def append(_done: int, _total: int) -> None:
        with path.open("ab") as file:
            file.write(b"")
            os.utime(path, ns=(1, 1))

    assert codes(check_file(path, progress=append)) == ["changed_while_read"]


def test_a_file_changed_since_its_check_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    known = check_file(path).sha256
    assert load_prompts(path, expected_sha256=known)
    path.write_bytes(OTHER)
    with pytest.raises(DataError, match="has changed since"):
        load_prompts(path, expected_sha256=known)


# --- memory -----------------------------------------------------------------------------------------

MEASURE = """
import os, resource, sys
from opd.data_loader import check_file
seen = []
report = check_file(sys.argv[1], progress=lambda done, total: seen.append(done / total))
assert seen == sorted(seen) and seen[-1] == 1.0
if os.path.exists("/proc/self/status"):  # ru_maxrss on Linux begins with what the parent had before exec
    (peak,) = [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")]
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak, report.num_samples, *report.problem_counts)
"""


def measure(path: Path) -> list[str]:
    pytest.importorskip("resource", reason="needs POSIX")
    result = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    return result.stdout.split()


def fill(path: Path, piece: bytes, num_bytes: int, head: bytes = b"", tail: bytes = b"") -> Path:
    block = piece * (1_000_000 // len(piece))
    with path.open("wb") as file:
        file.write(head)
        for _ in range(num_bytes // len(block)):
            file.write(block)
        file.write(tail)
    return path


@pytest.mark.parametrize(
    ("piece", "num_bytes", "code"),
    [
        (b"x", 100_000_000, "line_too_long"),
        (b"{},", 9_000_000, "too_many_values"),
        (b'"\xf0\x9f\x98\x80",', 9_000_000, "too_many_values"),
        (b"\xf0\x9f\x98\x80", 9_000_000, "unclosed_text"),
    ],
    ids=["100 MB line", "tiny objects", "tiny texts", "wide characters"],
)
def test_memory_is_bounded_whatever_the_line(piece: bytes, num_bytes: int, code: str, tmp_path: Path) -> None:
    head = b'{"messages":"' if code == "unclosed_text" else b'{"messages":['
    path = fill(tmp_path / "data.jsonl", piece, num_bytes, GOOD + head, b"\n" + OTHER)
    peak, samples, *found = measure(path)
    assert (samples, found) == ("2", [code])
    assert int(peak) < 200_000_000
    path.unlink()


def test_many_lines_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    with path.open("wb") as file:
        for number in range(0, 100_000, 1000):
            file.write(b"".join(b'{"prompt":"What is the yield of bond %d?"}\n' % (number + i) for i in range(1000)))
    peak, samples, *found = measure(path)
    assert (samples, found) == ("100000", ["converted"])
    assert int(peak) < 60_000_000


def test_the_table_of_first_lines_equals_a_dict() -> None:
    table, expected = FirstLines(slots=8), {}
    for line in range(1, 3000):
        key = (line * 7919) % 1000 << 40  # equal low bits: every key collides at first
        assert table.first_or_add(key, line) == expected.get(key or 1)
        expected.setdefault(key or 1, line)


# --- split and Dataset ------------------------------------------------------------------------------


def records_of(texts: list[str]) -> list[PromptRecord]:
    lists: list[tuple[Message, ...]] = [({"role": "user", "content": text},) for text in texts]
    return [PromptRecord(prompt_id(messages), messages, None, line + 1) for line, messages in enumerate(lists)]


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=3), max_size=40), st.floats(0, 0.99), st.integers(0, 5))
def test_split_keeps_everything_and_separates_twins(texts: list[str], fraction: float, seed: int) -> None:
    records = records_of(texts)
    divided = split(records, fraction, seed)
    assert sorted([*divided.train, *divided.test], key=lambda record: record.line) == records
    assert not {record.id for record in divided.train} & {record.id for record in divided.test}
    assert divided == split(records, fraction, seed)
    different = {" ".join(record.messages[0]["content"].split()) for record in records}
    if fraction == 0:
        assert not divided.test
    elif len({text.casefold() for text in different}) > 1 and all(text.isascii() for text in different):
        assert divided.train
        assert divided.test


def test_split_does_not_depend_on_the_order_and_does_depend_on_the_seed() -> None:
    records = records_of([f"question {number}" for number in range(50)])
    chosen = {record.id for record in split(records, 0.2, seed=1).test}
    assert len(chosen) == 10
    assert {record.id for record in split(records[::-1], 0.2, seed=1).test} == chosen
    assert {record.id for record in split(records, 0.2, seed=2).test} != chosen


def test_split_keeps_twins_together() -> None:
    records = records_of(["a b", "a  b", "caf\u00e9", "cafe\u0301"])
    for seed in range(8):
        divided = split(records, 0.5, seed)
        assert {record.line for record in divided.test} in ({1, 2}, {3, 4})


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_split_refuses_fractions_outside_the_range(fraction: float) -> None:
    with pytest.raises(DataError, match="expected a number from 0"):
        split(records_of(["a", "b"]), fraction, 0)


def test_prompt_ids_are_stable() -> None:
    assert prompt_id([{"role": "user", "content": "What moves the price of copper?"}]) == "9f6c9f49e003b626"


def test_to_dataset_has_one_column_of_messages() -> None:
    pytest.importorskip("datasets")
    from opd.data_loader import to_dataset

    records = load_prompts(EXAMPLES / "on_policy_prompts_test.jsonl")
    dataset = to_dataset(records)
    assert dataset.column_names == ["prompt"]
    assert dataset[3]["prompt"] == list(records[3].messages)


def test_reading_needs_no_ml_package() -> None:
    program = (
        "import sys, opd.data_loader as d; d.load_prompts(sys.argv[1]); "
        "print(sorted({'torch', 'transformers', 'trl', 'datasets', 'numpy'} & set(sys.modules)))"
    )
    path = EXAMPLES / "on_policy_prompts_test.jsonl"
    result = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- any bytes --------------------------------------------------------------------------------------

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
