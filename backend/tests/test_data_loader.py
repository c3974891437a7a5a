"""The data loader: what it reads, what it refuses and where it says the problem is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from data_files import EXAMPLES, check, codes, write
from opd.data_loader import check_file, load_prompts, render_report, split
from opd.data_loader.reader import CHUNK_BYTES
from opd.errors import DataError
from tests.data_corpus import CASES, GOOD, OTHER, BadFile, turns, user

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
