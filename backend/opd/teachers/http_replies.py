"""What a server's answer means: a reply, something that may pass, or a named error that says what to do.

In: status, headers and bytes. Out: `Reply`, or one of the errors below. No network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from opd.errors import TeacherAwayError, TeacherError

_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_QUOTA_WORDS = ("insufficient_quota", "insufficient quota", "exceeded your current quota", "billing", "credit balance")
_QUOTED_CHARACTERS = 300


class UnreachableError(TeacherAwayError):
    """Nothing answers at this address."""

    code = "teacher_unreachable"


class TimedOutError(TeacherAwayError):
    """The answer was not complete within the deadline."""

    code = "teacher_timeout"


class KeyRefusedError(TeacherAwayError):
    """The server does not accept the key, or wants one."""

    code = "teacher_key_refused"


class QuotaError(TeacherAwayError):
    """The account has no credit left; waiting does not help."""

    code = "teacher_quota"


class RequestRefusedError(TeacherError):
    """The server does not accept this request."""

    code = "teacher_refused_request"


class OverloadedError(TeacherAwayError):
    """The server was busy or failing at every attempt."""

    code = "teacher_overloaded"


class RedirectedError(TeacherError):
    """The server sends to another address."""

    code = "teacher_redirected"


class NotUnderstoodError(TeacherError):
    """The answer is not what this kind of server gives."""

    code = "teacher_answer_not_understood"


class UnclearError(TeacherAwayError):
    """The request went out and no answer came back: it may have been carried out, and charged."""

    code = "teacher_unclear"


@dataclass(frozen=True)
class Reply:
    """A complete answer with a status below 300."""

    status: int
    body: Any
    """Decoded JSON."""
    headers: Mapping[str, str]


class MayPassError(Exception):
    """A failed attempt that may be repeated, not before `asked_wait_s`."""

    def __init__(self, error: TeacherError, asked_wait_s: float | None = None):
        super().__init__(error.code)
        self.error, self.asked_wait_s = error, asked_wait_s


def judge(
    status: int, headers: Mapping[str, str], content: bytes, *, origin: str, has_key: bool, secrets: Sequence[str]
) -> Reply:
    """The reply in an answer.

    Args:
        secrets: what must not be repeated in an error, whatever the server says.

    Raises:
        MayPassError: trying again may help.
        TeacherError: trying again does not help.
    """
    said = _quote(content, secrets)
    if status < 300:
        try:
            return Reply(status, json.loads(content), headers)
        except (ValueError, RecursionError):
            raise NotUnderstoodError(
                f"{origin} answered {status} with something that is not JSON: {said}",
                hint="Is this the address of the API, with its /v1, and not of a web page?",
            ) from None
    if status < 400:
        raise RedirectedError(
            f"{origin} sends to {_origin_of(headers.get('location', ''))} (status {status}).",
            hint="Put the final address into teacher.base_url; redirects are not followed, so that keys stay put.",
        )
    if status in {401, 403}:
        raise KeyRefusedError(
            f"{origin} refused {'the key' if has_key else 'a request without a key'} ({status}): {said}",
            hint="Set the provider's key on the studio's Teachers page or with `opd keys set`.",
        )
    if status == 402 or (status == 429 and any(word in said.lower() for word in _QUOTA_WORDS)):
        raise QuotaError(
            f"{origin} says that the account has nothing left ({status}): {said}",
            hint="Top up the account, then resume the run.",
        )
    if status in _RETRIED_STATUSES:
        error = OverloadedError(
            f"{origin} was busy or failing ({status}): {said}",
            hint="Lower teacher.max_concurrency, or look at the server's log; then resume the run.",
            details={"status": status},
        )
        raise MayPassError(error, _asked_wait_s(headers))
    raise RequestRefusedError(
        f"{origin} refused the request ({status}): {said}",
        hint="Its message says what it does not accept: usually the model's name, the address or a length.",
        details={"status": status},
    )


def _quote(content: bytes, secrets: Sequence[str]) -> str:
    """What the server said, short and without any secret that it may repeat."""
    text = _message_of(content)
    for secret in secrets:
        text = text.replace(secret, "[key]")
    return text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "…"


def _asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from Retry-After, given as a number or as a date."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, float(seconds)) if math.isfinite(seconds) else None


def _message_of(content: bytes) -> str:
    """The error message in the usual places, else the beginning of the text."""
    text = content[:10_000].decode(errors="replace").strip()
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return text
    for name in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(name):
            inner = body[name]
            if isinstance(inner, dict):
                inner = " ".join(str(inner[key]) for key in ("code", "type", "message") if inner.get(key))
            return str(inner)
    return text


def _origin_of(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else "another path"
