"""Teachers and students to choose from: models on this machine, paid models with dated prices, what fits what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from opd.api.base import ApiModel, errors
from opd.api.deps import Studio, get_studio
from opd.catalogue import LocalModel, PaidModel, local_models, paid_models
from opd.config import SIGNAL_WORDS, SignalKind, objective_needs, teacher_provides

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
