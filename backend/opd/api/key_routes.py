"""Provider keys: which exist, put one, remove one. A value goes in and never comes out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import Field, SecretStr

from opd.api.base import ApiModel, errors
from opd.api.deps import Studio, get_studio
from opd.keys import KeyPresence

router = APIRouter(prefix="/api/keys", tags=["keys"])
StudioDep = Annotated[Studio, Depends(get_studio)]
Provider = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="Provider, for example openai.")]


class KeyList(ApiModel):
    """Known providers and whether a key is there. Never a value."""

    items: list[KeyPresence]


class NewKey(ApiModel):
    """A provider's key, to be kept on this machine."""

    value: SecretStr = Field(min_length=8, max_length=1000)


@router.get("", operation_id="listKeys", responses=errors())
def list_keys(studio: StudioDep) -> KeyList:
    """Which keys exist, and where they are kept."""
    return KeyList(items=studio.keys.presence())


@router.put("/{provider}", operation_id="putKey", responses=errors(400, 404))
def put_key(provider: Provider, key: NewKey, studio: StudioDep) -> KeyPresence:
    """Keep a key in the system's keyring, else in a file that only you can read."""
    studio.keys.put(provider, key.value.get_secret_value())
    return studio.keys.presence_of(provider)


@router.delete("/{provider}", operation_id="deleteKey", responses=errors(400, 404))
def delete_key(provider: Provider, studio: StudioDep) -> KeyPresence:
    """Forget a key. One in the environment stays: unset the variable instead."""
    studio.keys.delete(provider)
    return studio.keys.presence_of(provider)
