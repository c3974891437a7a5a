"""What a provider's terms say about training on its answers: shown before a run, and accepted for it by a person.

In: a teacher's configuration. Out: the notice that must have been accepted, or None. Not legal advice, and never
decided here: the terms that hold are the provider's own. A changed wording gets a new code, so that what a run has
accepted stays what its person read.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from opd.config import ChatTeacher, RunConfig
from opd.errors import InputError

_READ = "as read on 2026-11-23"
_WAY_OUT = "Teachers with open weights (Qwen, DeepSeek, gpt-oss, Mistral and others) ask for none of this."


class Notice(BaseModel):
    """Something that a person has to accept before a run may start."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    code: str
    """What acceptance is recorded under."""
    title: str
    text: str
    address: str
    """Where the terms themselves are."""


class TermsNotAcceptedError(InputError):
    """The provider's terms have not been accepted for this run."""

    code = "terms_not_accepted"


_NOTICES: dict[str, tuple[str, str, str]] = {
    "openai": (
        "OpenAI's terms",
        "OpenAI does not allow using its models' output to develop models that compete with OpenAI.",
        "https://openai.com/policies/",
    ),
    "anthropic": (
        "Anthropic's terms",
        "Anthropic does not allow using its models' output to train another model without its prior authorisation.",
        "https://www.anthropic.com/legal",
    ),
    "google": (
        "Google's terms",
        "Google does not allow using the Gemini API to develop models that compete with it.",
        "https://ai.google.dev/gemini-api/terms",
    ),
    "openrouter": (
        "Terms of the model's maker",
        "The terms of the model's maker hold, and OpenRouter's own; several makers do not allow training on output.",
        "https://openrouter.ai/terms",
    ),
}
_ALIASES = {"gemini": "google"}


def notice_for(config: RunConfig) -> Notice | None:
    """The notice that must be accepted before this run; None where there is none."""
    if not isinstance(config.teacher, ChatTeacher):
        return None
    head = config.teacher.model.partition("/")[0].strip().lower()
    found = _NOTICES.get(_ALIASES.get(head, head))
    if found is None:
        return None
    title, text, address = found
    return Notice(
        code=f"terms-{_ALIASES.get(head, head)}-2026-11",
        title=title,
        text=f"{text} ({_READ}; not legal advice.) You are responsible for keeping to them. {_WAY_OUT}",
        address=address,
    )


def require_accepted(config: RunConfig, accepted: Sequence[str]) -> None:
    """Refuse to start a run whose notice was not accepted.

    Args:
        accepted: codes of what the person has accepted.

    Raises:
        TermsNotAcceptedError: names the notice and the way to accept it.
    """
    notice = notice_for(config)
    if notice is not None and notice.code not in accepted:
        raise TermsNotAcceptedError(
            f"{notice.title}: {notice.text}",
            hint=f"Read them at {notice.address}; then accept them for this run (`--accept {notice.code}`).",
            details=notice.model_dump(),
        )
