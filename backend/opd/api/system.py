"""Health, session and facts about this machine."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from opd.api.base import ApiModel, errors
from opd.api.deps import Studio, get_studio
from opd.machine import Machine, describe_machine

router = APIRouter(prefix="/api", tags=["system"])


class Health(ApiModel):
    """The server is up."""

    status: Literal["ok"] = "ok"


class SessionRequest(ApiModel):
    """The one-use code of the address that `opd studio` printed."""

    code: str = Field(min_length=1, max_length=256)


class Session(ApiModel):
    """A session was opened; its cookie is in the header."""

    authenticated: Literal[True] = True


@router.get("/health", operation_id="getHealth", responses=errors())
def get_health() -> Health:
    """Whether the server answers. The only question that needs no session."""
    return Health()


@router.post("/session", operation_id="openSession", responses=errors())
def open_session(
    request: SessionRequest, response: Response, studio: Annotated[Studio, Depends(get_studio)]
) -> Session:
    """Exchange the one-use code for a session cookie. A code works once."""
    studio.access.redeem(request.code)
    response.set_cookie(
        studio.access.cookie_name, studio.access.cookie_value, httponly=True, samesite="strict", path="/"
    )
    return Session()


@router.get("/system", operation_id="getSystem", responses=errors())
def get_system(studio: Annotated[Studio, Depends(get_studio)]) -> Machine:
    """Versions, device, memory and disk of the machine that the studio runs on."""
    return describe_machine(studio.data_dir)
