"""Bytes of a data file, line by line, in bounded memory.

In: a path. Out: lines as bytes with their number and offset, the file's SHA-256 and size, and whether it changed while
it was read. Knows nothing of JSON, but recognises the containers people mistake for JSONL by their first bytes.

Lines end at byte 0x0A only: U+2028 and the like are legal inside a JSON string.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from opd.errors import DataError

CHUNK_BYTES = 1 << 20
BOM = b"\xef\xbb\xbf"

Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in the file) after every chunk."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line without its newline; `data` is None when the line is longer than the cap."""

    number: int
    offset: int
    num_bytes: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Container:
    """What a file is instead of JSONL; `line` and `offset` are of the byte that gave it away."""

    code: str
    line: int
    offset: int
    reason: str
    fix: str


_GUNZIP = "Unpack it first and give the file inside."
_CONVERT = "Convert it to JSONL: one JSON object per line, UTF-8."
_MAGIC: tuple[tuple[bytes, str, str, str], ...] = (
    (b"\x1f\x8b", "gzip", "a gzip archive", "Unpack it first, e.g. `gunzip FILE`, and give the result."),
    (b"PK\x03\x04", "zip", "a zip archive (or an Excel workbook)", _GUNZIP),
    (b"BZh", "bzip2", "a bzip2 archive", _GUNZIP),
    (b"\xfd7zXZ\x00", "xz", "an xz archive", _GUNZIP),
    (b"\x28\xb5\x2f\xfd", "zstd", "a Zstandard archive", _GUNZIP),
    (b"PAR1", "parquet", "a Parquet table", 'Convert it: `Dataset.from_parquet(FILE).to_json("data.jsonl")`.'),
    (b"ARROW1", "arrow", "an Arrow table", 'Convert it: `Dataset.from_file(FILE).to_json("data.jsonl")`.'),
    (b"SQLite format 3\x00", "sqlite", "an SQLite database", _CONVERT),
    (b"%PDF", "pdf", "a PDF document", _CONVERT),
    (b"version https://git-lfs", "git_lfs", "a Git LFS pointer, not the file itself", "Run `git lfs pull`."),
    (b"<", "html", "an HTML or XML page", "Download the raw file, not the web page that shows it."),
    (b"\xff\xfe\x00\x00", "utf32", "UTF-32 text", "Save it as UTF-8 without a byte order mark."),
    (b"\x00\x00\xfe\xff", "utf32", "UTF-32 text", "Save it as UTF-8 without a byte order mark."),
    (b"\xff\xfe", "utf16", "UTF-16 text", "Save it as UTF-8 without a byte order mark."),
    (b"\xfe\xff", "utf16", "UTF-16 text", "Save it as UTF-8 without a byte order mark."),
)


def identify_container(head: bytes) -> Container | None:
    """Name what a file is from its first bytes, or None when it may be JSONL."""
    for magic, code, name, fix in _MAGIC:
        if head.startswith(magic):
            return Container(code, 1, 0, f"the file is {name}; expected JSONL text", fix)
    if head[:1] == b"\0" and head[1:2] in (b"{", b"["):
        return Container("utf16", 1, 0, "the file is UTF-16 text; expected UTF-8", "Save it as UTF-8.")
    if head[:1] in (b"{", b"[") and head[1:2] == b"\0":
        return Container("utf16", 1, 0, "the file is UTF-16 text; expected UTF-8", "Save it as UTF-8.")
    return _identify_json_document(head)


def _identify_json_document(head: bytes) -> Container | None:
    """A JSON array, or one object spread over lines: valid JSON, but not one object per line."""
    start = len(BOM) if head.startswith(BOM) else 0
    while head[start : start + 1] in (b" ", b"\t", b"\r", b"\n"):
        start += 1
    first_line, _, rest = head[start:].partition(b"\n")
    first_line = first_line.strip(b" \t\r")
    line = head.count(b"\n", 0, start) + 1
    lines_of_arrays = first_line.endswith(b"]") and rest.strip(b" \t\r\n") != b""
    if first_line.startswith(b"[") and not lines_of_arrays:
        fix = (
            "Write each element on a line of its own without the outer brackets, e.g. `jq -c '.[]' FILE > data.jsonl`."
        )
        return Container("json_array", line, start, "the file is one JSON array; expected one object per line", fix)
    if first_line == b"{":
        fix = "Put each sample on a single line, e.g. `jq -c . FILE > data.jsonl`."
        return Container("pretty_json", line, start, "a JSON object is spread over several lines", fix)
    return None


def open_data_file(path: Path) -> int:
    """Open a regular file for reading, without following a link and without waiting on a pipe.

    Returns: a file descriptor; the caller closes it.
    Raises: DataError naming what stands at the path; `details["problem"]` is its code.
    """
    # O_NONBLOCK: opening a FIFO would otherwise wait for a writer. O_NOFOLLOW: the name must be the file itself.
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        if path.is_symlink():
            raise _refused(path, "symlink", "a symbolic link", "Give the real file's path instead of the link.")
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        raise _unopenable(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise _refused(path, "directory", "a folder", "Give the path of one .jsonl file in it.")
    if stat.S_ISFIFO(mode):
        raise _refused(path, "fifo", "a named pipe", "Write its content to a file first and give that file.")
    raise _refused(path, "special_file", "a device or socket", "Give the path of a .jsonl file.")


def _refused(path: Path, code: str, found: str, fix: str) -> DataError:
    return DataError(
        f"{path} is {found}; expected a JSONL file.", hint=fix, details={"problem": code, "path": str(path)}
    )


def _unopenable(path: Path, error: OSError | ValueError) -> DataError:
    details: dict[str, object] = {"path": str(path)}
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, IsADirectoryError) or (os.name == "nt" and path.is_dir()):
        return _refused(path, "directory", "a folder", "Give the path of one .jsonl file in it.")
    if number in (errno.ENOENT, errno.ENOTDIR):
        details["problem"] = "missing"
        return DataError(f"There is no file {path}.", hint="Check the path and the spelling.", details=details)
    if number in (errno.EACCES, errno.EPERM):
        details["problem"] = "permission"
        hint = "Make the file readable for your user, e.g. `chmod u+r FILE`."
        return DataError(f"{path} may not be read by this user.", hint=hint, details=details)
    if number in (errno.ELOOP, errno.EMLINK):
        return _refused(path, "symlink", "a symbolic link", "Give the real file's path instead of the link.")
    if number == errno.ENXIO:
        return _refused(path, "special_file", "a device or socket", "Give the path of a .jsonl file.")
    details["problem"] = "unreadable"
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return DataError(f"{path!s:.200} cannot be opened: {reason}.", hint="Check the path.", details=details)


class LineReader:
    """Iterates the lines of an open file once; afterwards `sha256`, `size_bytes` and `changed` are known.

    Holds at most one chunk and one line of up to `max_line_bytes`; a longer line is counted and dropped.
    """

    def __init__(self, descriptor: int, *, max_line_bytes: int, progress: Progress | None = None):
        self._descriptor = descriptor
        self._max_line_bytes = max_line_bytes
        self._progress = progress
        self._before = os.fstat(descriptor)
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self.changed = False
        self.head = self._read_chunk()

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes read so far."""
        return self._digest.hexdigest()

    def drain(self) -> None:
        """Read to the end without looking at lines, for the hash and the size."""
        while self._read_chunk():
            pass
        self._note_change()

    def __iter__(self) -> Iterator[RawLine]:
        number, offset, num_bytes = 1, 0, 0
        pending: list[bytes] = []
        chunk = self.head
        while chunk:
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                num_bytes += end - start
                self._keep(pending, chunk[start:end], num_bytes)
                yield self._line(number, offset, num_bytes, pending)
                number, offset, num_bytes = number + 1, offset + num_bytes + 1, 0
                pending.clear()
                start = end + 1
            num_bytes += len(chunk) - start
            self._keep(pending, chunk[start:], num_bytes)
            chunk = self._read_chunk()
        if num_bytes:
            yield self._line(number, offset, num_bytes, pending)
        self._note_change()

    def _keep(self, pending: list[bytes], piece: bytes, num_bytes: int) -> None:
        if num_bytes > self._max_line_bytes:
            pending.clear()
        else:
            pending.append(piece)

    def _line(self, number: int, offset: int, num_bytes: int, pending: list[bytes]) -> RawLine:
        too_long = num_bytes > self._max_line_bytes
        return RawLine(number, offset, num_bytes, None if too_long else b"".join(pending))

    def _read_chunk(self) -> bytes:
        chunk = os.read(self._descriptor, CHUNK_BYTES)
        self._digest.update(chunk)
        self.size_bytes += len(chunk)
        if chunk and self._progress:
            self._progress(self.size_bytes, self._before.st_size)
        return chunk

    def _note_change(self) -> None:
        after = os.fstat(self._descriptor)
        before = self._before
        self.changed = (after.st_size, after.st_mtime_ns) != (
            before.st_size,
            before.st_mtime_ns,
        ) or self.size_bytes != before.st_size
