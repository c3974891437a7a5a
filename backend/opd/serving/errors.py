"""Errors as OpenAI-compatible clients expect them: a status, and one object with message, type, param and code."""

from __future__ import annotations

from fastapi.responses import JSONResponse


class RefusedError(Exception):
    """A request that is answered with an error. `param` names the field."""

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    def as_response(self) -> JSONResponse:
        """The answer."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        body = {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}
        return JSONResponse(body, self.status, {"retry-after": "1"} if self.status == 503 else None)
