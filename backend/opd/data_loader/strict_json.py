"""One line of bytes -> one JSON value, or the exact place and name of what is wrong with it.

In: the bytes of a line. Out: the value, or a `Flaw` with a byte index into the line. Knows nothing of files or chats.

Stricter than Python's `json`: duplicate keys, NaN and Infinity, numbers that do not fit, lone surrogates, NUL and deep
nesting are refused, because each of them is read differently by different programs. The fast C parser decides; the
slower token walk in `json_walk.py` runs only on lines that have a flaw, to find where.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from opd.data_loader.json_walk import STRING, TOKEN, byte_index, find_duplicate_key

MAX_DEPTH = 64
MAX_VALUES = 500_000
MAX_DIGITS = 100

_STRUCTURE = re.compile((STRING + r'|[\[\]{},"]').encode(), re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SURROGATE_HINT = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a line; `byte_index` counts from the start of the line."""

    code: str
    byte_index: int
    reason: str
    fix: str


class _Hooks:
    """Lets the C parser go on over what it would accept or die on, and remembers that it met it."""

    def __init__(self) -> None:
        self.duplicate_key = False
        self.bad_number = False

    def pairs(self, items: list[tuple[str, object]]) -> dict[str, object]:
        value = dict(items)
        self.duplicate_key |= len(value) != len(items)
        return value

    def constant(self, _text: str) -> None:
        self.bad_number = True

    def integer(self, text: str) -> int:
        if len(text) > MAX_DIGITS:
            self.bad_number = True
            return 0
        return int(text)

    def real(self, text: str) -> float:
        value = float(text)
        self.bad_number |= len(text) > MAX_DIGITS or not math.isfinite(value)
        return value


def parse_line(data: bytes) -> tuple[object, Flaw | None]:
    """Parse one line strictly.

    Returns: the value and None, or None and the first flaw.
    """
    try:
        text = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        return None, _bad_utf8(data, error.start)
    flaw = _check_raw(data, text) or _check_structure(data)
    if flaw:
        return None, flaw
    hooks = _Hooks()
    decoder = json.JSONDecoder(
        object_pairs_hook=hooks.pairs, parse_constant=hooks.constant, parse_int=hooks.integer, parse_float=hooks.real
    )
    try:
        value = decoder.decode(text)
    except json.JSONDecodeError as error:
        return None, _syntax_flaw(text, error.msg, error.pos)
    flaw = _check_hooks(text, hooks) or _check_escapes(text)
    return (None, flaw) if flaw else (value, None)


def _bad_utf8(data: bytes, start: int) -> Flaw:
    reason = f"byte 0x{data[start]:02x} is not valid UTF-8"
    return Flaw("invalid_utf8", start, reason, "Save the file as UTF-8, or correct this character.")


def _check_raw(data: bytes, text: str) -> Flaw | None:
    if text.startswith("\ufeff"):
        fix = "Remove the three bytes EF BB BF; they come from joining files that each had a byte order mark."
        return Flaw("bom_inside", 0, "a byte order mark inside the file", fix)
    nul = data.find(b"\0")
    if nul >= 0:
        fix = "Remove the NUL bytes; they often come from an interrupted copy, so check that the file is whole."
        return Flaw("nul_byte", nul, "a NUL byte in the text", fix)
    return None


def _check_structure(data: bytes) -> Flaw | None:
    """Depth and size before parsing: the parser recurses, and tiny values cost 20 times their text in memory."""
    if len(data) <= MAX_VALUES and data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return None  # too short and too plain to be either; nearly every line
    depth = values = 0
    for match in _STRUCTURE.finditer(data):
        lexeme = data[match.start()]
        if lexeme in b"[{":
            depth += 1
            values += 1
            if depth > MAX_DEPTH:
                reason = f"nested more than {MAX_DEPTH} levels deep"
                return Flaw("too_deep", match.start(), reason, "Flatten the object; a chat needs four levels.")
        elif lexeme in b"]}":
            depth -= 1
        elif lexeme == 0x2C:
            values += 1
        elif match.end() - match.start() == 1:
            return None  # an unterminated string: what follows is text, and the parser will say so
        if values > MAX_VALUES:
            reason = f"more than {MAX_VALUES:,} values on one line"
            return Flaw("too_many_values", match.start(), reason, "Keep only the conversation on the line.")
    return None


def _check_hooks(text: str, hooks: _Hooks) -> Flaw | None:
    if hooks.duplicate_key:
        position, key = find_duplicate_key(text)
        reason = f"the key {_excerpt(key)} stands twice in one object; programs differ in which one they take"
        return Flaw("duplicate_key", byte_index(text, position), reason, "Keep one of the two.")
    if hooks.bad_number:
        for match in TOKEN.finditer(text):
            lexeme = match[0]
            if lexeme[-1] in "yN":
                fix = 'Write null, or leave the key out; JSON has no such number. As text it needs quotes: "NaN".'
                return Flaw("not_a_number", byte_index(text, match.start()), f"{lexeme} is not JSON", fix)
            if lexeme[0] in "-0123456789" and (len(lexeme) > MAX_DIGITS or not math.isfinite(float(lexeme))):
                reason = f"the number {_excerpt(lexeme)} does not fit any number type"
                return Flaw("huge_number", byte_index(text, match.start()), reason, "Write it as text in quotes.")
    return None


def _check_escapes(text: str) -> Flaw | None:
    """Lone surrogates and NUL written as escapes; both pass the parser and break tokenizers or files later."""
    if not _SURROGATE_HINT.search(text):
        return None
    high: int | None = None
    high_end = -1
    for match in _ESCAPE.finditer(text):
        code = int(match[1], 16) if match[1] else -1
        if high is not None and not (match.start() == high_end and 0xDC00 <= code <= 0xDFFF):
            return _lone_surrogate(text, high)
        if high is not None:
            high = None
        elif 0xD800 <= code <= 0xDBFF:
            high, high_end = match.start(), match.end()
        elif 0xDC00 <= code <= 0xDFFF:
            return _lone_surrogate(text, match.start())
        elif code == 0:
            return Flaw("nul_character", byte_index(text, match.start()), "\\u0000 in a text", "Remove it.")
    return _lone_surrogate(text, high) if high is not None else None


def _lone_surrogate(text: str, position: int) -> Flaw:
    escape = text[position : position + 6]
    fix = "Write the character itself in UTF-8, or both halves of the pair; half a character cannot be encoded."
    return Flaw("lone_surrogate", byte_index(text, position), f"{escape} is half of a surrogate pair", fix)


def _excerpt(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:37] + "...")


# --- naming a syntax error --------------------------------------------------------------------------


def _syntax_flaw(text: str, message: str, position: int) -> Flaw:
    """Name a syntax error by what stands at its place; the parser's own wording differs between Python versions."""
    stripped_end = len(text.rstrip(" \t\r\n"))
    before = text[:position].rstrip(" \t\r\n")
    # Python 3.13 points at the trailing comma, older versions at the bracket behind it.
    after_comma = text[position + 1 :].lstrip(" \t\r\n") if text[position : position + 1] == "," else ""
    if after_comma[:1] in ("}", "]"):
        return _flaw(text, position, "trailing_comma")
    if before.endswith(",") and text[position : position + 1] in ("}", "]"):
        return _flaw(text, len(before) - 1, "trailing_comma")
    if message.startswith("Extra data"):
        return _flaw(text, position, _extra_data_code(text, position))
    if message.startswith("Invalid control character"):
        return _flaw(text, position, "control_character")
    if message.startswith("Invalid \\"):
        # The C parser points behind the backslash of a broken \\uXXXX, and at it for any other escape.
        return _flaw(text, position - (text[position] != "\\"), "bad_escape")
    if message.startswith("Unterminated string"):
        return _flaw(text, position, "unclosed_text")
    code = _code_of_token(text[position : position + 8])
    if not code and position >= stripped_end:
        code = "truncated_line"
    if not code and message.startswith("Expecting ',' delimiter"):
        code = "missing_comma"
    if not code and message.startswith("Expecting property name"):
        code = "unquoted_key"
    return _flaw(text, position, code or ("not_json" if not before else "bad_json"))


def _extra_data_code(text: str, position: int) -> str:
    rest = text[position:]
    if "\r" in text[:position] and rest.startswith("{"):
        return "cr_line_endings"
    if rest.startswith("{") or rest.lstrip(", \t").startswith("{"):
        return "two_objects"
    if rest.strip(" \t\r") == ",":
        return "comma_after_object"
    return _code_of_token(rest) if rest[:1] in ("/", "#") else "extra_data"


def _code_of_token(lexeme: str) -> str:
    """The habit that the text at an error shows, or an empty string."""
    if lexeme[:2] in ("//", "/*") or lexeme[:1] == "#":
        return "comment"
    if lexeme[:1] == "'":
        return "single_quotes"
    if lexeme[:1] in ("\u201c", "\u201d", "\u2018", "\u2019", "\u00ab", "\u201e"):
        return "smart_quotes"
    if lexeme.startswith(("None", "True", "False")):
        return "python_literal"
    return ""


_SYNTAX: dict[str, tuple[str, str]] = {
    "trailing_comma": ("a comma before the closing bracket", "Remove the comma."),
    "cr_line_endings": ("lines end in CR only (old Mac style)", "Convert the line ends, e.g. `tr '\\r' '\\n'`."),
    "two_objects": ("a second object on the same line", "Put each object on a line of its own, without a comma."),
    "comma_after_object": ("a comma after the object", "Remove the comma at the end of the line; JSONL has none."),
    "extra_data": ("text after the end of the JSON object", "Remove it, or put it inside the object."),
    "control_character": ("a raw control character inside a text", "Write \\t for a tab, \\n for a line break."),
    "bad_escape": (
        "an escape that JSON does not know",
        'Write \\\\ for a backslash; only \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX exist.',
    ),
    "truncated_line": (
        "the line ends in the middle of the JSON object",
        "Put the whole object on one line; if it is the last line, the file was cut off: copy it again.",
    ),
    "unclosed_text": (
        "a text without its closing quote",
        'Close it with ". A line break inside a text is written \\n; if this is the last line, the file was cut off.',
    ),
    "comment": ("a comment; JSON has none", "Remove the comment."),
    "single_quotes": ("a text in single quotes", "Use double quotes; Python's str() is not JSON, json.dumps() is."),
    "smart_quotes": ("a typographic quotation mark", 'Use the plain double quote ".'),
    "python_literal": ("a Python value", "Write null, true or false; json.dumps() does that."),
    "missing_comma": ("no comma between two values", 'Put a comma here, or escape a quote inside the text as \\".'),
    "unquoted_key": ("a key without double quotes", 'Write keys in double quotes: {"messages": ...}.'),
    "not_json": ("not a JSON object", 'Each line must be one JSON object, e.g. {"messages": [...]}.'),
    "bad_json": ("something that JSON does not allow", "Correct the line here; json.dumps() writes valid lines."),
}


def _flaw(text: str, position: int, code: str) -> Flaw:
    meaning, fix = _SYNTAX[code]
    found = text[position : position + 12]
    reason = f"{meaning}, at {found!a}" if found else meaning
    return Flaw(code, byte_index(text, position), reason, fix)
