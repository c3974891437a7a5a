"""What every route shares: the base of the shapes, the shape of an error, and the errors each route may answer.

Knows nothing of the studio's state. Whatever crosses the wire is declared as an `ApiModel`, so that unknown keys are
refused and the generated TypeScript has no optional fields where there is always a value.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, JsonValue

RUN_ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
DATASET_ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"

RunIdInPath = Annotated[str, Path(pattern=RUN_ID_PATTERN, description="Id of a run.")]
RunIdInQuery = Annotated[str, Query(pattern=RUN_ID_PATTERN, description="Id of a run.")]


class ApiModel(BaseModel):
    """Base of all request and answer shapes."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class ErrorBody(ApiModel):
    """What went wrong, in words for people and in facts for machines."""

    code: str
    """Stable name of the kind of error."""
    message: str
    """What was found and what was expected."""
    hint: str
    """What to do about it."""
    details: dict[str, JsonValue]
    """Facts: ids, line numbers, field paths. Never a value that was sent."""


class ErrorAnswer(ApiModel):
    """The body of every answer that is not a success."""

    error: ErrorBody


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the error answers of a route; the ones that any route may give are always in."""
    words = {
        400: "The input cannot be used",
        401: "No valid session",
        403: "Refused by the guard",
        404: "There is no such thing",
        409: "Somebody else holds it",
        411: "The length of the body is not known",
        413: "The body is too large",
        415: "The body is not of the expected type",
        422: "The request does not have the expected form",
        500: "A failure of the studio",
    }
    return {
        status: {"model": ErrorAnswer, "description": words[status]}
        for status in sorted({401, 403, 413, 415, 422, 500, *statuses})
    }
