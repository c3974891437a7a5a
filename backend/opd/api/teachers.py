"""Teachers and students to choose from: models on this machine, paid models with dated prices, what fits what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from opd.api.base import ApiModel, errors
from opd.api.deps import Studio, get_studio
from opd.catalogue import LocalModel, PaidModel, local_models, paid_models
from opd.config import SIGNAL_WORDS, ChatTeacher, RunConfig, SignalKind, objective_needs, teacher_provides
from opd.preflight import ask_teacher
from opd.teachers.probe_report import ProbeReport

router = APIRouter(prefix="/api/teachers", tags=["teachers"])


class Teachers(ApiModel):
    """What can be chosen, and which objectives go with which kind of teacher."""

    local_models: list[LocalModel]
    """Models on this machine; each can be teacher or student."""
    catalogue: list[PaidModel]
    """Paid chat models with the price data's date. Answers only: not token-level."""
    provides: dict[str, list[SignalKind]]
    """Signals by kind of teacher."""
    objective_needs: dict[str, SignalKind]
    """Signal that each objective needs."""
    signal_words: dict[SignalKind, str]
    """Signals in words for people."""


class OffersRequest(ApiModel):
    """Whose models to list."""

    provider: str = Field(pattern=r"^[a-z][a-z-]{0,31}$")
    """openai, anthropic, google, openrouter, fireworks, together, or local with a base_url."""
    base_url: str | None = Field(None, max_length=500)
    """Address of an OpenAI-compatible server; null: the provider's own. Only the key named `local` is sent there."""


class OfferedModel(ApiModel):
    """A chat model that answers now. Prices in dollars per million tokens; null where the price data has none."""

    id: str
    """What `teacher.model` takes."""
    input_usd_per_million: float | None
    output_usd_per_million: float | None
    price_date: str | None
    retires: str | None


class Offers(ApiModel):
    """What a provider offers at this moment."""

    items: list[OfferedModel]


@router.post("/offers", operation_id="listOffers", responses=errors(400))
def list_offers(request: OffersRequest, studio: Annotated[Studio, Depends(get_studio)]) -> Offers:
    """Ask a provider for its models; that costs nothing. Our dated prices stand beside them."""
    from opd.teachers.chat.endpoints import endpoint_of  # brings an HTTP client: only for who asks
    from opd.teachers.chat.offers import offers

    endpoint = endpoint_of(ChatTeacher(model=f"{request.provider}/list", base_url=request.base_url))
    found = offers(endpoint, studio.keys.get(endpoint.key_name))
    return Offers(items=[OfferedModel(**asdict(offer)) for offer in found])


class ProbeRequest(ApiModel):
    """The configuration whose teacher and pair are looked at."""

    config: RunConfig


@router.post("/probe", operation_id="probeTeacher", responses=errors(400))
def probe_teacher(request: ProbeRequest, studio: Annotated[Studio, Depends(get_studio)]) -> ProbeReport:
    """What this teacher can do for this student, asked live. Costs nothing; a chat API is not called."""
    return ask_teacher(request.config, studio.store)


@router.get("", operation_id="listTeachers", responses=errors())
def list_teachers(studio: Annotated[Studio, Depends(get_studio)]) -> Teachers:
    """Models on this machine and in the price data."""
    return Teachers(
        local_models=local_models(studio.store),
        catalogue=paid_models(),
        provides={kind: list(signals) for kind, signals in teacher_provides().items()},
        objective_needs=objective_needs(),
        signal_words=SIGNAL_WORDS,
    )
