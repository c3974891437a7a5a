"""Structured replies of a teacher, read strictly: one JSON object of exactly the expected shape, or a reason why not.

In: the text of a reply, which may be anything. Out: a checked value. One fence of backticks around the object is
forgiven, because many chat models cannot leave it out; everything else that is not the object is not.
"""

from __future__ import annotations

import re
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from opd.data_loader.strict_json import parse_line

_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)
MAX_CHARS = 200_000

Shape = TypeVar("Shape", bound="Reply")


class Reply(BaseModel):
    """Base of the shapes: frozen, nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class UnreadableError(ValueError):
    """A reply that is not what was asked for; the message says why, in a few words and without quoting it."""


def read_json(text: str, shape: type[Shape]) -> Shape:
    """The object that a reply consists of.

    Raises:
        UnreadableError: it is not one JSON object of this shape.
    """
    text = text.strip()
    if len(text) > MAX_CHARS:
        raise UnreadableError(f"the reply has {len(text):,} characters, more than any that was asked for")
    fenced = _FENCED.fullmatch(text)
    value, flaw = parse_line((fenced[1] if fenced else text).strip().encode("utf-8", "surrogatepass"))
    if flaw is not None:
        raise UnreadableError(f"the reply is not one JSON object ({flaw.code})")
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"][:3]) or "the reply"
        raise UnreadableError(f"{place}: {first['msg']}") from None
