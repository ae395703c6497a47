"""Errors as responses: `application/problem+json` (RFC 9457), mapped from error classes once."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from core.errors import (
    BusyError,
    ConfigurationError,
    ContenderError,
    DataRefusedError,
    IntegrityError,
    NotFoundError,
    UnreachableError,
)
from core.logs import get_log

MEDIA_TYPE = "application/problem+json"
_SHOWN_CHARACTERS = 60


class Problem(BaseModel):
    """The body of every answer that is not a success."""

    type: str = Field(description="The kind of problem, a word to test for.", examples=["no_champion"])
    title: str = Field(description="The kind of problem, in a few words for a person.")
    status: int = Field(description="The HTTP status, repeated.")
    detail: str = Field(description="What went wrong with this very request, and what to do about it.")


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its HTTP status, the word to test for, and a title for people."""

    status: int
    type: str
    title: str


KINDS: dict[type[ContenderError], Kind] = {
    NotFoundError: Kind(404, "not_found", "Not found"),
    DataRefusedError: Kind(422, "data_refused", "The data cannot be used"),
    BusyError: Kind(409, "busy", "Another process is at work on this"),
    UnreachableError: Kind(503, "unreachable", "Something this answer needs does not respond"),
    IntegrityError: Kind(503, "integrity", "A stored artifact is not what was recorded of it"),
}
INVALID = Kind(422, "invalid", "The request cannot be used")
_FAULT = Kind(500, "fault", "A fault in the service")
_FAULT_DETAIL = "The service failed on this request; its log says how. The same request may succeed later."
_HTTP_TYPES = {
    400: "malformed",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
}


def respond(kind: Kind, detail: str) -> Response:
    """A problem as a response."""
    return Response(to_problem(kind, detail).model_dump_json() + "\n", kind.status, mimetype=MEDIA_TYPE)


def to_problem(kind: Kind, detail: str) -> Problem:
    """The body of a problem."""
    return Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail)


def kind_of(error: ContenderError, kinds: Mapping[type[ContenderError], Kind]) -> Kind:
    """The kind declared for the error's class, or else for its nearest ancestor; a fault when there is none.

    >>> kind_of(UnreachableError("Postgres did not answer."), KINDS).status
    503
    """
    return next((kinds[ancestor] for ancestor in type(error).__mro__ if ancestor in kinds), _FAULT)


def describe(error: Exception, kinds: Mapping[type[ContenderError], Kind], path: str) -> tuple[Kind, str]:
    """The kind and the sentence of an error, for a client. A fault of our own is logged and not shown."""
    if isinstance(error, ContenderError):
        kind = kind_of(error, kinds)
        if kind is not _FAULT and not isinstance(error, ConfigurationError):
            return kind, str(error)
        get_log("web").error(error.problem, remedy=error.remedy, path=path)
    else:
        get_log("web").error("A request failed.", path=path, exc_info=error)
    return _FAULT, _FAULT_DETAIL


class RefusedError(ContenderError):
    """A request that is refused before it is read: no valid token, a lower role, or too many requests."""

    def __init__(self, kind: Kind, problem: str, remedy: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem, remedy)
        self.kind = kind
        self.headers = dict(headers or {})


def refusal_response(error: RefusedError) -> Response:
    """The refusal as a response, which is a WSGI app as well: `refusal_response(error)(environ, start_response)`."""
    response = respond(error.kind, str(error))
    response.headers.update(error.headers)
    return response


def refuse_invalid(error: ValidationError) -> Response:
    """The answer to a request whose parameters or body do not fit: each fault named, with the value that came."""
    sentences = [_fault_sentence(fault["loc"], fault["msg"], fault.get("input")) for fault in error.errors()]
    return respond(INVALID, " ".join(sentences))


def install(app: Flask, kinds: Mapping[type[ContenderError], Kind]) -> None:
    """Makes the app answer every error as a problem; `kinds` adds to KINDS what one service raises."""
    all_kinds = {**KINDS, **kinds}

    def contender_error(error: ContenderError) -> Response:
        return respond(*describe(error, all_kinds, request.path))

    def http_error(error: HTTPException) -> Response | HTTPException:
        if error.code is None or error.code < 400:
            return error
        if error.code >= 500:
            return respond(_FAULT, _FAULT_DETAIL)
        kind = Kind(error.code, _HTTP_TYPES.get(error.code, "refused"), HTTPStatus(error.code).phrase.capitalize())
        response = respond(kind, _http_detail(error))
        # Such as Allow of a 405: only what describes the replaced body is left out.
        response.headers.extend(
            (name, value)
            for name, value in error.get_headers()
            if name.lower() not in ("content-type", "content-length")
        )
        return response

    def fault(error: Exception) -> Response:
        return respond(*describe(error, all_kinds, request.path))

    app.register_error_handler(RefusedError, refusal_response)
    app.register_error_handler(ContenderError, contender_error)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, fault)


def quoted(value: object) -> str:
    """What a client sent, quoted and shortened for a message.

    >>> quoted("high")
    "'high'"
    """
    text = str(value)
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def problem_response(when: str) -> dict[str, Any]:
    """The OpenAPI description of a problem, for the responses of a route or an app: when it occurs, and its type."""
    return {
        "description": when,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _fault_sentence(location: tuple[int | str, ...], message: str, value: object) -> str:
    name = ".".join(str(part) for part in location) or "The body"
    return f"{name}: {message[:1].lower()}{message[1:]}; it was {quoted(value)}."


def _http_detail(error: HTTPException) -> str:
    if error.code == 404:
        return f"There is nothing at {request.path[:200]}. The page / names what there is."
    if error.code == 405:
        allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        return f"{request.path[:200]} does not answer {request.method}; it answers {allowed or 'other methods'}."
    if error.code == 413:
        return "The body is larger than this service accepts."
    return str(error.description or "The request was refused.")
