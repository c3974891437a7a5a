"""What is no file, changes under the reader, or is larger than memory should ever hold."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from data_files import codes, write
from opd.data_loader import check_file, load_prompts
from opd.data_loader.report import FirstLines
from opd.errors import DataError
from tests.data_corpus import GOOD, OTHER

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
