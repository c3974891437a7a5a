"""One JSON value -> a conversation: recognise the format, convert it, check roles, order and content.

In: a parsed line. Out: messages and the reference answer, with the flaws and notes found, each at a path into the
original value. Knows nothing of bytes, lines or files.

A trailing assistant message is the data's own answer: it becomes the reference and leaves the prompt.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import cast

from opd.data_loader.json_walk import PathStep
from opd.data_loader.records import Format, Message, Role

Path = tuple[PathStep, ...]

ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
_SHAREGPT_ROLES: dict[str, str] = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
_ANSWER_KEYS = ("answer", "completion", "response", "output", "reference")
_FORMAT_KEYS = ("messages", "conversations", "instruction", "prompt", "question")
_EXAMPLE = '{"messages": [{"role": "user", "content": "..."}]}'


@dataclass(frozen=True, slots=True)
class FormatFlaw:
    """What is wrong, at a path into the line's JSON value."""

    path: Path
    code: str
    reason: str
    fix: str


@dataclass(slots=True)
class Conversation:
    """One line's content. Usable when `flaws` is empty; `notes` hold (code, path, reason, fix) worth telling."""

    format: Format | None = None
    messages: list[Message] = field(default_factory=list)
    answer: str | None = None
    num_messages: int = 0
    flaws: list[FormatFlaw] = field(default_factory=list)
    notes: list[FormatFlaw] = field(default_factory=list)

    def flaw(self, path: Path, code: str, reason: str, fix: str) -> None:
        self.flaws.append(FormatFlaw(path, code, reason, fix))

    def note(self, path: Path, code: str, reason: str, fix: str) -> None:
        self.notes.append(FormatFlaw(path, code, reason, fix))


@dataclass(frozen=True, slots=True)
class _Turn:
    """A message before its checks; the paths point at where role and content stand in the original."""

    role: object
    content: object
    path: Path
    role_key: str = "role"
    content_key: str = "content"


def detect_format(record: dict[str, object]) -> Format | None:
    """The format of one sample by its keys, or None when it is none of those we read."""
    if "messages" in record:
        return "messages"
    if "conversations" in record:
        return "sharegpt"
    if "instruction" in record:
        return "alpaca"
    if "prompt" in record:
        return "prompt_messages" if isinstance(record["prompt"], list) else "prompt"
    return "question" if "question" in record else None


def read_conversation(value: object) -> Conversation:
    """Convert and check one parsed line; never raises on bad data."""
    result = Conversation()
    if not isinstance(value, dict):
        fix = f"Wrap the messages in an object: {_EXAMPLE}." if isinstance(value, list) else f"Write {_EXAMPLE}."
        result.flaw((), "not_object", f"the line is {_kind(value)}; expected a JSON object", fix)
        return result
    record = cast(dict[str, object], value)
    result.format = detect_format(record)
    if result.format is None:
        _unknown_format(record, result)
        return result
    turns = _turns(record, result)
    if not result.flaws:
        _read_turns(turns, result)
        _read_answer(record, result)
    return result


def _unknown_format(record: dict[str, object], result: Conversation) -> None:
    found = ", ".join(ascii(key)[:30] for key in list(record)[:6]) or "no keys"
    near = [name for key in record for name in difflib.get_close_matches(key.lower(), _FORMAT_KEYS, n=1)]
    fix = f'Rename the key to "{near[0]}".' if near else f"Write {_EXAMPLE}."
    expected = ", ".join(_FORMAT_KEYS)
    result.flaw((), "no_prompt", f"the object has {found}; expected one of the keys {expected}", fix)


def _turns(record: dict[str, object], result: Conversation) -> list[_Turn]:
    """The turns of a sample in any format, unchecked."""
    match result.format:
        case "messages" | "prompt_messages" | "sharegpt":
            return _listed_turns(record, result)
        case "alpaca":
            key, content = "instruction", record["instruction"]
            extra = record.get("input")
            if isinstance(extra, str) and extra.strip() and isinstance(content, str):
                content = f"{content}\n\n{extra}"
        case _:
            key = str(result.format)
            content = record[key]
    system = [_Turn("system", record["system"], (), content_key="system")] if record.get("system") else []
    return [*system, _Turn("user", content, (), content_key=key)]


def _listed_turns(record: dict[str, object], result: Conversation) -> list[_Turn]:
    key = {"messages": "messages", "prompt_messages": "prompt"}.get(str(result.format), "conversations")
    listed = record[key]
    if not isinstance(listed, list):
        fix = f'Write a list: "{key}": [{{"role": "user", "content": "..."}}].'
        result.flaw((key,), "messages_not_list", f'"{key}" is {_kind(listed)}; expected a list of messages', fix)
        return []
    if not listed:
        result.flaw((key,), "messages_empty", f'"{key}" is an empty list', "Add at least one user message.")
    turns = []
    for index, item in enumerate(listed):
        path: Path = (key, index)
        if not isinstance(item, dict):
            fix = 'Write {"role": "user", "content": "..."}.'
            result.flaw(path, "message_not_object", f"message {index + 1} is {_kind(item)}; expected an object", fix)
            continue
        turn = _listed_turn(cast(dict[str, object], item), path, result)
        if turn:
            turns.append(turn)
    return turns


def _listed_turn(item: dict[str, object], path: Path, result: Conversation) -> _Turn | None:
    sharegpt = result.format == "sharegpt" and "from" in item
    role_key, content_key = ("from", "value") if sharegpt else ("role", "content")
    number = f"message {int(path[-1]) + 1}"
    if item.get("tool_calls") or item.get("function_call"):
        fix = "Remove the call, or write what it did as text; prompts are plain text."
        result.flaw(path, "tool_calls", f"{number} calls a tool", fix)
        return None
    for key in (role_key, content_key):
        if key not in item:
            reason = f'{number} has no "{key}"'
            near = difflib.get_close_matches(key, [str(name) for name in item], n=1, cutoff=0.5)
            fix = f'Rename "{near[0][:30]}" to "{key}".' if near else f'Add "{key}" to the message.'
            result.flaw(path, f"{'role' if key == role_key else 'content'}_missing", reason, fix)
            return None
    for key in item:
        if key not in (role_key, content_key, "name", "tool_call_id", "weight"):
            reason = f"{number} has the key {ascii(key)[:40]}, which is not used"
            result.note((*path, key), "unused_key", reason, "Nothing to do; remove the key if it was a slip.")
    role = item[role_key]
    if sharegpt and isinstance(role, str):
        role = _SHAREGPT_ROLES.get(role, role)
    return _Turn(role, item[content_key], path, role_key, content_key)


def _read_turns(turns: list[_Turn], result: Conversation) -> None:
    checked: list[tuple[Message, _Turn]] = []
    for index, turn in enumerate(turns):
        role = _check_role(turn, index, result)
        content = _check_content(turn, index, result)
        if role and content is not None:
            checked.append(({"role": role, "content": content}, turn))
    if result.flaws:
        return
    result.num_messages = len(checked)
    _check_order(checked, result)
    if checked[-1][0]["role"] == "assistant":
        message, turn = checked.pop()
        result.answer = message["content"]
        reason = "the last message is an assistant's: it is kept as the reference answer and is not part of the prompt"
        result.note(turn.path, "reference_answer", reason, "Nothing to do, if that is what it is.")
    result.messages = [message for message, _ in checked]
    if not result.flaws and not any(message["role"] == "user" for message in result.messages):
        reason = "no user message before the answer" if result.answer else "no user message"
        result.flaw(turns[-1].path, "no_user_message", reason, "Add what the user asks.")


def _check_role(turn: _Turn, index: int, result: Conversation) -> Role | None:
    number = f"message {index + 1}"
    path = (*turn.path, turn.role_key)
    if not isinstance(turn.role, str):
        reason = f"the role of {number} is {_kind(turn.role)}; expected a text"
        result.flaw(path, "role_not_text", reason, f"Use one of {', '.join(ROLES)}.")
        return None
    for role in ROLES:
        if turn.role == role:
            return role
    near = "system" if turn.role == "developer" else turn.role.strip().lower()
    near = _SHAREGPT_ROLES.get(near, near)
    guess = difflib.get_close_matches(near, ROLES, n=1)
    fix = f'Write "{guess[0]}".' if guess else f"Use one of {', '.join(ROLES)}."
    result.flaw(path, "role_unknown", f"the role of {number} is {ascii(turn.role)[:40]}", fix)
    return None


def _check_content(turn: _Turn, index: int, result: Conversation) -> str | None:
    number = f"message {index + 1}" if turn.path else "the prompt"
    path = (*turn.path, turn.content_key)
    content = turn.content
    if isinstance(content, list):
        content = _join_parts(content, path, number, result)
        if content is None:
            return None
    if not isinstance(content, str):
        reason = f"the content of {number} is {_kind(content)}; expected a text"
        result.flaw(path, "content_not_text", reason, "Write the content as one text in double quotes.")
        return None
    if not content.strip():
        result.flaw(path, "content_empty", f"{number} is empty", "Write the text, or remove the message.")
        return None
    return content


def _join_parts(parts: list[object], path: Path, number: str, result: Conversation) -> str | None:
    """Join the OpenAI list form when every part is text."""
    texts: list[str] = []
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(text, str):
            found = f"a part of type {ascii(kind)[:30]}" if kind else _kind(part)
            fix = "Keep text parts only; images and audio cannot be prompts."
            result.flaw((*path, index), "part_not_text", f"the content of {number} has {found}", fix)
            return None
        texts.append(text)
    result.note(
        path, "content_parts", f"the content of {number} is a list of text parts; they are joined", "Nothing to do."
    )
    return "".join(texts)


def _check_order(checked: list[tuple[Message, _Turn]], result: Conversation) -> None:
    """System first and once, then user and assistant in turn; a tool's reply follows the assistant or another tool."""
    previous = ""
    for index, (message, turn) in enumerate(checked):
        role, number = message["role"], f"message {index + 1}"
        path = (*turn.path, turn.role_key)
        if role == "system" and index > 0:
            twice = checked[0][0]["role"] == "system"
            code = "system_twice" if twice else "system_not_first"
            fix = "Join the two system messages." if twice else "Move the system message to the front."
            result.flaw(path, code, f"{number} is a system message; only the first may be", fix)
        elif role == "assistant" and previous in ("", "system"):
            fix = "Begin with what the user says."
            if len(checked) > index + 1:
                result.flaw(path, "starts_with_assistant", "the conversation begins with the assistant", fix)
        elif role == "tool" and previous not in ("assistant", "tool"):
            fix = "Remove it, or put the assistant's message before it."
            result.flaw(path, "tool_without_call", f"{number} is a tool's reply to nothing", fix)
        elif role == previous and role in ("user", "assistant"):
            fix = "Join the two messages; most chat templates refuse two in a row."
            result.flaw(path, "role_repeated", f"{number} is a second {role} message in a row", fix)
        previous = role


def _read_answer(record: dict[str, object], result: Conversation) -> None:
    """A reference answer in a key of its own, such as Alpaca's `output`."""
    for key in _ANSWER_KEYS:
        value = record.get(key)
        if value is None or value == "" or (key == "output" and result.format != "alpaca"):
            continue
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = value[0].get("content")
        if not isinstance(value, str) or not value.strip():
            reason = f'"{key}" is {_kind(value)}; expected a text'
            result.flaw((key,), "answer_not_text", reason, "Write the answer as a text, or remove the key.")
        elif result.answer is not None and value != result.answer:
            fix = "Keep one of the two."
            result.flaw((key,), "two_answers", f'"{key}" and the conversation give different answers', fix)
        else:
            result.answer = value
            reason = f'"{key}" is kept as the reference answer and is not part of the prompt'
            result.note((key,), "reference_answer", reason, "Nothing to do, if that is what it is.")


def _kind(value: object) -> str:
    """The JSON kind of a value, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text" if value.strip() else "an empty text"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "an object" if isinstance(value, dict) else "a number"
