"""The one shape of every error that the HTTP interface answers.

``{"code": ..., "message": ..., "remedy"?: ..., "field"?: ...}``: code and message stand at the top, where SDKs look.
"""

import logging
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from cdp.errors import CdpError, Unavailable

log = logging.getLogger(__name__)

RETRY_AFTER = {"Retry-After": "1"}
CODES = {
    400: "bad_request", 401: "unauthorised", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 409: "conflict",
    422: "invalid",
}  # fmt: skip


class ErrorBody(BaseModel):
    """What every error answer holds."""

    code: str = Field(description="A stable code.", examples=["not_found"])
    message: str = Field(description="One sentence: what is wrong.", examples=["There is no person P0000000042."])
    remedy: str | None = Field(None, description="One sentence: what to do about it.", examples=["Try again later."])
    field: str | None = Field(None, description="The offending field of the request.", examples=["one_id"])


class ApiError(CdpError):
    """An error of the API with its HTTP status."""

    def __init__(self, status: int, message: str, remedy: str = "", *, code: str = "", field: str = "") -> None:
        super().__init__(message, remedy)
        self.status = status
        self.code = code or CODES.get(status, "error")
        self.field = field


RETRY_LATER: dict[str, Any] = {
    "Retry-After": {"description": "After how many seconds to try again.", "required": True, "schema": {"type": "integer"}}
}
CHALLENGE: dict[str, Any] = {
    "WWW-Authenticate": {"description": "How to say who you are.", "required": True, "schema": {"type": "string"}}
}
_TEXTS = {
    400: "The request cannot be read.", 401: "The token is missing or unknown.", 403: "The token's role is too low.",
    404: "There is no such thing.", 409: "Somebody else was first, or it exists already.",
    422: "A field is missing or wrong.", 503: "A part is away; try again later.",
}  # fmt: skip
_HEADERS = {401: CHALLENGE, 503: RETRY_LATER}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an endpoint that may answer these errors, beside those that every endpoint may."""
    return {
        status: {"model": ErrorBody, "description": _TEXTS[status]}
        | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
        for status in (401, 403, 422, 503, *statuses)
    }


def error_answer(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    """An error under `responses` of an operation that FastAPI does not know."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}}
    return {"description": description, "content": content} | ({"headers": headers} if headers else {})


def answer(status: int, code: str, message: str, *, headers: dict[str, str] | None = None, **more: str) -> Response:
    """An error answer. `more`: ``remedy`` and ``field``, left out if empty."""
    given = {"code": code, "message": message} | {name: value for name, value in more.items() if value}
    body = {name: value.encode("utf-8", "replace").decode() for name, value in given.items()}  # requests are quoted in them
    extra = dict(headers or {}) | (RETRY_AFTER if status == 503 else {})
    return Response(msgspec.json.encode(body), status, extra, "application/json")


def whole(value: Any) -> Any:
    """To JSON Schema 5.0 is an integer; to a strict model it is one after this."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def install(app: FastAPI) -> None:
    """Make the app answer every error in the one shape."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(CdpError, _cdp_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _bug)


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this type only
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return answer(error.status, error.code, error.message, remedy=error.remedy, field=error.field, headers=headers)


async def _cdp_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, CdpError)  # noqa: S101 - registered for this type only
    if isinstance(error, Unavailable):
        return answer(503, "unavailable", error.message, remedy=error.remedy)
    return answer(400, "bad_request", error.message, remedy=error.remedy)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    headers = dict(error.headers or {}) | ({"Allow": _allowed(request)} if error.status_code == 405 else {})
    return answer(error.status_code, CODES.get(error.status_code, "error"), str(error.detail), headers=headers)


def _allowed(request: Request) -> str:
    """The methods of all routes of a path: the framework names those of the first one only."""
    routes = [route for route in iter_route_contexts(request.app.routes) if route.methods]
    matching = [route.methods or set() for route in routes if route.path_regex.fullmatch(request.scope["path"])]
    return ", ".join(sorted(set().union(*matching)))


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type only
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return answer(422, "invalid", f"{first['msg']}.", field=field, remedy="See /docs for what is expected.")


async def _bug(_: Request, error: Exception) -> Response:
    log.error("an unexpected error", exc_info=error)
    return answer(500, "internal", "Something went wrong on our side; the log tells more.")
