# Copyright 2026 The video-lmms authors.
# SPDX-License-Identifier: Apache-2.0
"""Answers to requests that cannot be served, in the form that OpenAI's clients understand."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response


_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 503: "server_error"}


class RequestError(Exception):
    """A request that is refused.

    Args:
        message: what was found, what is accepted, and what to do.
        status: HTTP status.
        param: name of the field at fault.
        code: short name of the mistake.
        retry_after: seconds after which to try again.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ):
        super().__init__(message)
        self.message, self.status, self.param, self.code = message, status, param, code
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    def as_dict(self) -> dict[str, Any]:
        """The body of the answer."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def busy(message: str) -> RequestError:
    """The error for a server that has enough to do."""
    return RequestError(f"{message} Try again in a moment.", 429, code="busy", retry_after=1)


async def refuse(request: Request, exc: RequestError) -> Response:
    return JSONResponse(exc.as_dict(), exc.status, headers=exc.headers)


async def refuse_route(request: Request, exc: HTTPException) -> Response:
    error = RequestError(f"{request.method} {request.url.path[:80]}: {exc.detail}.", exc.status_code, code="no_route")
    return JSONResponse(error.as_dict(), exc.status_code, headers=exc.headers)


async def refuse_gone(request: Request, exc: ClientDisconnect) -> Response:
    return Response(status_code=499)  # nobody reads it


async def fail(request: Request, exc: Exception) -> Response:
    """A mistake of ours; what went wrong is in the server's log, not in the answer."""
    error = RequestError("The server failed to answer. Its log says why.", 500, code="internal_error")
    return JSONResponse(error.as_dict(), 500)


__all__ = ["RequestError", "busy", "fail", "refuse", "refuse_gone", "refuse_route"]
