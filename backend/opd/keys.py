"""Provider keys on this machine: environment, the system's keyring where there is one, else a file of mode 0600.

A key goes in here and comes out only towards the process that calls the provider. Nothing here logs, and no error
holds a value.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from opd.errors import InputError, NotFoundError, StorageError
from opd.store.files import read_json, write_durably

# Environment variable by provider: the names that the providers' own tools use.
VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GEMINI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "together": "TOGETHER_API_KEY",
    "huggingface": "HF_TOKEN",
    "local": "OPD_LOCAL_API_KEY",
}
_SCORING_HOSTS = {"fireworks": "api.fireworks.ai", "together": "api.together.xyz"}
_KEYRING_SERVICE = "opd-studio"


def provider_of_server(dialect: str, base_url: str) -> str:
    """Whose key a scoring server is given: the provider's only at the provider's own address.

    A configuration from a stranger that names a provider's dialect and another address cannot send its key away.
    """
    host = urlsplit(base_url.strip())
    is_own = (host.scheme, host.netloc.lower()) == ("https", _SCORING_HOSTS.get(dialect, ""))
    return dialect if is_own else "local"


class KeyPresence(BaseModel):
    """Whether a provider's key is there, and where it is kept. Never its value."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    provider: str
    present: bool
    source: Literal["environment", "keyring", "file"] | None
    variable: str
    """Environment variable that is looked at first."""


class Keys:
    """Keys of the person who owns `data_dir`."""

    def __init__(self, data_dir: Path):
        self._file = data_dir / "keys.json"

    def presence(self) -> list[KeyPresence]:
        """Every known provider."""
        return [self.presence_of(provider) for provider in VARIABLES]

    def presence_of(self, provider: str) -> KeyPresence:
        """Whether and where a provider's key is kept.

        Raises:
            NotFoundError: an unknown provider.
        """
        source = self._find(provider)[1]
        return KeyPresence(provider=provider, present=source is not None, source=source, variable=VARIABLES[provider])

    def get(self, provider: str) -> str | None:
        """The key itself: environment first, then keyring, then file.

        Raises:
            NotFoundError: an unknown provider.
        """
        return self._find(provider)[0]

    def collect(self, providers: Iterable[str]) -> dict[str, str]:
        """The keys of these providers that exist: what a run's process is given on its stdin."""
        found = ((provider, self.get(provider)) for provider in providers)
        return {provider: value for provider, value in found if value}

    def put(self, provider: str, value: str) -> None:
        """Keep a key.

        Raises:
            NotFoundError: an unknown provider.
            InputError: a value that cannot be a key.
            StorageError: neither keyring nor file can be written.
        """
        _check_provider(provider)
        value = value.strip()
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise InputError(
                "This is not a key: expected printable characters without spaces.", hint="Copy it again as a whole."
            )
        if not self._put_in_keyring(provider, value):
            self._write({**self._read(), provider: value})

    def delete(self, provider: str) -> None:
        """Forget a key from keyring and file.

        Raises:
            NotFoundError: an unknown provider.
        """
        _check_provider(provider)
        keyring = _keyring()
        if keyring is not None:
            with contextlib.suppress(keyring.errors.KeyringError):  # it was not in there
                keyring.delete_password(_KEYRING_SERVICE, provider)
        kept = self._read()
        if kept.pop(provider, None) is not None:
            self._write(kept)

    def _find(self, provider: str) -> tuple[str | None, Literal["environment", "keyring", "file"] | None]:
        _check_provider(provider)
        if value := os.environ.get(VARIABLES[provider], "").strip():
            return value, "environment"
        keyring = _keyring()
        if keyring is not None:
            with contextlib.suppress(keyring.errors.KeyringError):  # locked: the file is the other place
                if kept := keyring.get_password(_KEYRING_SERVICE, provider):
                    return kept, "keyring"
        if kept := self._read().get(provider):
            return kept, "file"
        return None, None

    def _put_in_keyring(self, provider: str, value: str) -> bool:
        keyring = _keyring()
        if keyring is None:
            return False
        try:
            keyring.set_password(_KEYRING_SERVICE, provider, value)
        except keyring.errors.KeyringError:
            return False
        return True

    def _read(self) -> dict[str, str]:
        kept = read_json(self._file)
        return kept if isinstance(kept, dict) else {}

    def _write(self, kept: dict[str, str]) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self._file, json.dumps(kept).encode(), mode=0o600)
        except OSError as error:
            raise StorageError(
                f"The key file cannot be written: {error.strerror}.", hint="Check the data folder's permissions."
            ) from None


def _check_provider(provider: str) -> None:
    if provider not in VARIABLES:
        raise NotFoundError("There is no such provider.", hint=f"Known ones: {', '.join(VARIABLES)}.")


def _keyring() -> Any:
    """The keyring package if it is installed and has a real backend, else None."""
    if find_spec("keyring") is None:
        return None
    import keyring
    import keyring.errors

    backend = keyring.get_keyring()
    return keyring if backend.priority >= 1 else None
