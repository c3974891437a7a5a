"""Broken data files, each with the place and the name of what is wrong with it.

A case marks the first byte of its problem with `@@`. The marker is cut out again; line and byte offset follow from
where it stood, so the expectation does not come from the loader.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass

GOOD = b'{"messages":[{"role":"user","content":"What moves the price of copper?"}]}\n'
OTHER = b'{"messages":[{"role":"user","content":"What moves the price of wheat?"}]}\n'
MARK = b"@@"


@dataclass(frozen=True)
class BadFile:
    """One broken file: its bytes and the first error expected in it."""

    name: str
    code: str
    data: bytes
    line: int
    byte_offset: int


def whole(name: str, code: str, marked: bytes) -> BadFile:
    """A file as it is; an unmarked one has its problem at the start."""
    before, _, after = marked.rpartition(MARK) if MARK in marked else (b"", b"", marked)
    return BadFile(name, code, before + after, before.count(b"\n") + 1, len(before))


def between(name: str, code: str, marked: bytes) -> BadFile:
    """The broken line between two good ones, so that line and offset are not those of the file's start."""
    return whole(name, code, GOOD + marked + b"\n" + OTHER)


def user(content: bytes) -> bytes:
    """A line with one user message whose content is the raw JSON given, quotes included."""
    return b'{"messages":[{"role":"user","content":' + content + b"}]}"


def turns(*roles: str) -> bytes:
    """A line with these roles; `@@` in a role marks where its text starts."""
    messages = [{"role": role, "content": f"text {index}"} for index, role in enumerate(roles)]
    return json.dumps({"messages": messages}).encode().replace(b'"@@', b'@@"')


ENCODING = [
    between("invalid byte", "invalid_utf8", user(b'"caf@@\xe9"')),
    between("truncated sequence", "invalid_utf8", user(b'"@@\xe2\x82"')),
    between("overlong encoding", "invalid_utf8", user(b'"@@\xc0\xaf"')),
    between("surrogate as UTF-8", "invalid_utf8", user(b'"\xc3\xa9@@\xed\xa0\x80"')),
    between("beyond the last code point", "invalid_utf8", user(b'"@@\xf4\x90\x80\x80"')),
    between("bom on the second line", "bom_inside", b"@@\xef\xbb\xbf" + GOOD.strip()),
    between("nul in a text", "nul_byte", user(b'"a@@\x00b"')),
    between("line of nuls", "nul_byte", b"@@" + b"\x00" * 40),
    between("nul escape", "nul_character", user(b'"\xc3\xa9@@\\u0000b"')),
    between("lone high surrogate", "lone_surrogate", user(b'"x@@\\ud83d y"')),
    between("lone low surrogate", "lone_surrogate", user(b'"x@@\\uDE00"')),
    between("two high surrogates", "lone_surrogate", user(b'"@@\\ud83d\\ud83d\\ude00"')),
    between("high surrogate at the end", "lone_surrogate", user(b'"\\ud83d\\ude00@@\\ud83d"')),
    between("surrogate halves apart", "lone_surrogate", user(b'"@@\\ud83d.\\ude00"')),
    between("lone surrogate in a key", "lone_surrogate", b'{"@@\\ud800":1,"messages":[]}'),
]

CONTAINERS = [
    whole("gzip", "gzip", gzip.compress(GOOD, mtime=0)),
    whole("zip", "zip", b"PK\x03\x04" + b"\x00" * 30),
    whole("bzip2", "bzip2", b"BZh91AY&SY" + b"\x00" * 9),
    whole("xz", "xz", b"\xfd7zXZ\x00\x00\x04"),
    whole("zstd", "zstd", b"\x28\xb5\x2f\xfd\x04\x00"),
    whole("parquet", "parquet", b"PAR1\x15\x04\x15"),
    whole("arrow", "arrow", b"ARROW1\x00\x00"),
    whole("sqlite", "sqlite", b"SQLite format 3\x00\x10\x00"),
    whole("pdf", "pdf", b"%PDF-1.7\n"),
    whole("git lfs pointer", "git_lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    whole("web page", "html", b"<!DOCTYPE html>\n<html></html>\n"),
    whole("utf-16 little endian with bom", "utf16", b"\xff\xfe" + GOOD.decode().encode("utf-16-le")),
    whole("utf-16 big endian with bom", "utf16", b"\xfe\xff" + GOOD.decode().encode("utf-16-be")),
    whole("utf-16 little endian", "utf16", GOOD.decode().encode("utf-16-le")),
    whole("utf-16 big endian", "utf16", GOOD.decode().encode("utf-16-be")),
    whole("utf-32", "utf32", GOOD.decode().encode("utf-32")),
    whole("json array on one line", "json_array", b"  @@[" + GOOD.strip() + b"," + OTHER.strip() + b"]\n"),
    whole("json array over lines", "json_array", b"@@[\n" + GOOD.strip() + b",\n" + OTHER + b"]\n"),
    whole("json array behind a blank line", "json_array", b"\n@@[\n]\n"),
    whole("json array behind a bom", "json_array", b"\xef\xbb\xbf@@[]"),
    whole("pretty-printed object", "pretty_json", json.dumps(json.loads(GOOD), indent=2).encode()),
]

WHOLE_FILE = [
    whole("empty", "empty_file", b""),
    whole("only blank lines", "no_samples", b"\n  \r\n\t\n"),
    whole("only a bom", "no_samples", b"\xef\xbb\xbf\n"),
]

SYNTAX = [
    between("cut-off line", "truncated_line", b'{"messages":[{"role":"user"@@'),
    between("cut-off text", "unclosed_text", b'{"messages":[{"role":"user","content":@@"hal'),
    whole("cut-off last line", "truncated_line", GOOD + OTHER[:-4] + b"@@"),
    between("single quotes", "single_quotes", b"{@@'messages':[]}"),
    between("smart quotes", "smart_quotes", "{@@“messages”:[]}".encode()),
    between("trailing comma in a list", "trailing_comma", b'{"messages":["a"@@, ]}'),
    between("trailing comma in an object", "trailing_comma", b'{"messages":[]@@,}'),
    between("two objects on a line", "two_objects", GOOD.strip() + b" @@" + OTHER.strip()),
    between("two objects with a comma", "two_objects", GOOD.strip() + b"@@," + OTHER.strip()),
    between("comma behind the object", "comma_after_object", GOOD.strip() + b"@@,"),
    whole("old mac line ends", "cr_line_endings", GOOD.strip() + b"\r@@" + OTHER.strip() + b"\r"),
    between("text behind the object", "extra_data", GOOD.strip() + b" @@end"),
    between("line comment", "comment", b"@@// a note"),
    between("comment behind the object", "comment", GOOD.strip() + b" @@// a note"),
    between("block comment inside", "comment", b'{"messages": @@/* none */ []}'),
    between("hash comment", "comment", b"@@# a note"),
    between("raw tab in a text", "control_character", user(b'"a@@\tb"')),
    between("raw escape character", "control_character", user(b'"@@\x1b[31m"')),
    between("unknown escape", "bad_escape", user(b'"C:@@\\data"')),
    between("half an escape", "bad_escape", user(b'"@@\\u12"')),
    between("python None", "python_literal", b'{"messages":@@None}'),
    between("python True", "python_literal", user(b"@@True")),
    between("unescaped quote", "missing_comma", user(b'"the "@@real" yield"')),
    between("missing comma", "missing_comma", b'{"messages":[] @@"id":1}'),
    between("unquoted key", "unquoted_key", b"{@@messages:[]}"),
    between("plain text", "not_json", b"@@What moves the price of copper?"),
    between("csv", "not_json", b"@@prompt,answer"),
    between("missing colon", "bad_json", b'{"messages" @@[]}'),
    between("missing value", "bad_json", b'{"messages":@@}'),
    between("no-break space as indent", "not_json", "@@\u00a0".encode() + GOOD.strip()),
]

VALUES = [
    between("duplicate key", "duplicate_key", b'{"messages":[],@@"messages":[1]}'),
    between("duplicate key deep inside", "duplicate_key", user(b'"\xc3\xa9",@@"content":"b"')),
    between("duplicate key by escape", "duplicate_key", b'{"\\u006dessages":[],@@"messages":[]}'),
    between("NaN", "not_a_number", user(b"@@NaN")),
    between("Infinity", "not_a_number", user(b"@@Infinity")),
    between("minus Infinity behind a text NaN", "not_a_number", user(b'"NaN","weight":@@-Infinity')),
    between("number that overflows", "huge_number", user(b'"a","weight":@@1e400')),
    between("integer of 5000 digits", "huge_number", user(b"@@" + b"7" * 5000)),
    between("65 levels deep", "too_deep", b'{"messages":' + b"[" * 63 + b"@@[" + b"]" * 64 + b"}"),
    between("100,000 levels deep", "too_deep", b"[" * 64 + b"@@" + b"[" * 100_000),
    between("half a million tiny values", "too_many_values", b'{"messages":[' + b"1," * 499_998 + b"1@@,1]}"),
]

SHAPE = [
    between("a list", "not_object", b'@@[{"role":"user","content":"hello"}]'),
    between("a text", "not_object", b'@@"What moves the price of copper?"'),
    between("a number", "not_object", b"@@42"),
    between("null", "not_object", b"@@null"),
    between("empty object", "no_prompt", b"@@{}"),
    between("misspelt messages", "no_prompt", b'@@{"message":[]}'),
    between("messages is a text", "messages_not_list", b'{"messages":@@"hello"}'),
    between("messages is an object", "messages_not_list", b'{"messages":@@{"role":"user"}}'),
    between("messages is null", "messages_not_list", b'{"messages":@@null}'),
    between("no message", "messages_empty", b'{"id":[1,{"a":2}],"messages":@@[]}'),
    between("message is a text", "message_not_object", b'{"messages":[@@"hello"]}'),
    between("second message is null", "message_not_object", user(b'"a"')[:-2] + b",@@null]}"),
    between("role missing", "role_missing", b'{"messages":[@@{"content":"hello"}]}'),
    between("content missing", "content_missing", b'{"messages":[@@{"role":"user","text":"hello"}]}'),
    between("role is a number", "role_not_text", b'{"messages":[{"role":@@1,"content":"hello"}]}'),
    between("role is null", "role_not_text", b'{"messages":[{"role":@@null,"content":"hello"}]}'),
    between("role in capitals", "role_unknown", b'{"messages":[{"role":@@"User","content":"hello"}]}'),
    between("developer role", "role_unknown", turns("@@developer", "user")),
    between("role of another format", "role_unknown", turns("system", "@@human")),
    between("empty content", "content_empty", user(b'@@""')),
    between("blank content", "content_empty", user(b'@@" \\n\\t "')),
    between("content is null", "content_not_text", user(b"@@null")),
    between("content is a number", "content_not_text", user(b"@@7")),
    between("content is an object", "content_not_text", user(b'@@{"text":"hello"}')),
    between("content has an image", "part_not_text", user(b'[{"type":"text","text":"see"},@@{"type":"image_url"}]')),
    between("content parts are empty", "content_empty", user(b"@@[]")),
    between("tool call", "tool_calls", b'{"messages":[@@{"role":"assistant","content":null,"tool_calls":[{}]}]}'),
    between("system in the middle", "system_not_first", turns("user", "@@system", "user")),
    between("two system messages", "system_twice", turns("system", "@@system", "user")),
    between("two user messages", "role_repeated", turns("system", "user", "@@user")),
    between("two assistant messages", "role_repeated", turns("user", "assistant", "@@assistant")),
    between("assistant begins", "starts_with_assistant", turns("@@assistant", "user")),
    between("assistant follows system", "starts_with_assistant", turns("system", "@@assistant", "user")),
    between("tool replies to nothing", "tool_without_call", turns("user", "@@tool")),
    between("only a system message", "no_user_message", b'{"messages":[@@{"role":"system","content":"a"}]}'),
    between("only an answer", "no_user_message", b'{"messages":[@@{"role":"assistant","content":"a"}]}'),
    between("sharegpt role", "role_unknown", b'{"conversations":[{"from":@@"someone","value":"a"}]}'),
    between("sharegpt without value", "content_missing", b'{"conversations":[@@{"from":"human","text":"a"}]}'),
    between("alpaca without instruction", "content_empty", b'{"instruction":@@"","output":"a"}'),
    between("prompt is a number", "content_not_text", b'{"prompt":@@3}'),
    between("answer is a list", "answer_not_text", b'{"prompt":"a","answer":@@["b"]}'),
    between("two answers", "two_answers", turns("user", "assistant")[:-1] + b',"answer":@@"no"}'),
]

CASES = ENCODING + CONTAINERS + WHOLE_FILE + SYNTAX + VALUES + SHAPE
