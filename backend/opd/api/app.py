"""The API as one FastAPI application: routers, error answers, OpenAPI. The studio behind it is put in by `main`."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from opd import __version__
from opd.api import (
    budgets,
    chats,
    configs,
    costs,
    datasets,
    exports,
    key_routes,
    opd,
    runs,
    stream,
    system,
    teachers,
    written,
)
from opd.api.access import AccessError
from opd.config import describe_problems
from opd.errors import BusyError, InputError, NotFoundError, OPDError


def build_api() -> FastAPI:
    """All routes and error handlers, without a studio behind them."""
    api = FastAPI(
        title="OPD Studio",
        version=__version__,
        summary="On-policy distillation: start, watch, compare.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        # Validation errors and stack traces are no one else's business, whatever the environment says.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    modules = (
        system,
        opd,
        runs,
        written,
        budgets,
        exports,
        chats,
        datasets,
        teachers,
        configs,
        costs,
        key_routes,
        stream,
    )
    for module in modules:
        api.include_router(module.router)
    api.add_exception_handler(OPDError, _on_opd_error)
    api.add_exception_handler(RequestValidationError, _on_invalid_request)
    api.add_exception_handler(HTTPException, _on_http_exception)
    api.add_exception_handler(Exception, _on_bug)
    return api


def http_status(error: OPDError) -> int:
    """The HTTP status of an error of ours."""
    match error:
        case AccessError():
            return 401
        case NotFoundError():
            return 404
        case InputError():
            return 400
        case BusyError():
            return 409
        case _:
            return 500


def _operation_id(route: APIRoute) -> str:
    return route.operation_id or route.name


async def _on_opd_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OPDError)  # noqa: S101 - registered for this class
    return JSONResponse({"error": error.as_dict()}, status_code=http_status(error))


async def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Field paths and reasons, never what was sent: it may hold a key."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    return _refuse(describe_problems(error.errors(), skip=1, whole="(whole request)"))


def _refuse(fields: list[dict[str, str]]) -> JSONResponse:
    count = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
    body = {
        "code": "request_invalid",
        "message": f"{count} of this request cannot be used.",
        "hint": "Correct them and send it again; nothing was done.",
        "details": {"fields": fields},
    }
    return JSONResponse({"error": body}, status_code=422)


_HTTP_WORDS = {
    404: ("not_found", "There is nothing at this address.", "See /api/openapi.json for the addresses that there are."),
    405: (
        "method_not_allowed",
        "This address does not take that method.",
        "See /api/openapi.json for the methods that it takes.",
    ),
}
_OTHER_HTTP_WORDS = ("http_error", "The request cannot be answered.", "Reload the page and try again.")


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    if error.status_code == 400:  # the framework's word for a body that it could not decode
        return _refuse([{"path": "(whole request)", "message": "the body is not JSON", "type": "json_invalid"}])
    code, message, hint = _HTTP_WORDS.get(error.status_code, _OTHER_HTTP_WORDS)
    body = {"code": code, "message": message, "hint": hint, "details": {}}
    return JSONResponse({"error": body}, status_code=error.status_code, headers=error.headers)


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    body = {
        "code": "internal_error",
        "message": f"The studio met an error of its own ({type(error).__name__}).",
        "hint": "Runs go on. The terminal of the studio shows the place; please report it.",
        "details": {},
    }
    return JSONResponse({"error": body}, status_code=500)
