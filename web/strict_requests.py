"""Requests read strictly: no NaN, no infinity, no query parameter that the API document does not name."""

import math
from typing import Any, NoReturn

from flask import Request, Response, request
from flask.json.provider import DefaultJSONProvider
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.utils import parse_rule
from werkzeug.exceptions import BadRequest, UnprocessableEntity, UnsupportedMediaType

from web import problems

LIMIT_BYTES = 1024 * 1024
"""The largest body, unless the app sets another limit."""


class NotFiniteError(ValueError):
    """A number in a body that is NaN or infinite, which neither JSON nor a model allows."""


class StrictJSON(DefaultJSONProvider):
    """JSON without NaN and infinities, both ways; keys keep their order."""

    sort_keys = False

    def dumps(self, obj: Any, **options: Any) -> str:
        """The text; raises ValueError for a number that JSON cannot say."""
        return super().dumps(obj, allow_nan=False, **options)

    def loads(self, s: str | bytes, **options: Any) -> Any:
        """The value. Raises NotFiniteError for NaN, Infinity and what exceeds a float, ValueError for other faults."""
        try:
            return super().loads(s, parse_constant=_refuse, parse_float=_finite, **options)
        # The parser is recursive: nesting without end is a fault of the sender, and no fault of the service.
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


class StrictRequest(Request):
    """A request whose JSON body is either read or refused with the reason, never silently None."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002
        """The body's value. `silent` is ignored."""
        # flask-openapi3 sets `silent`, which would hide why a body was refused.
        return super().get_json(force=force, silent=False, cache=cache)

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        """Answers 415 for another media type, 422 for a number that is not finite, 400 for text that is not JSON."""
        if e is None:
            raise UnsupportedMediaType(
                f"The body is {self.mimetype or 'of no stated type'}; send JSON with Content-Type: application/json."
            )
        if isinstance(e, NotFiniteError):
            raise UnprocessableEntity(f"The body holds {e}; every number must be finite.")
        raise BadRequest(f"The body is not JSON: {str(e)[:200]}.")


def install(app: OpenAPI, limit_bytes: int = LIMIT_BYTES) -> None:
    """Makes the app refuse larger bodies, JSON that is not finite, and query parameters unknown or repeated."""
    app.config["MAX_CONTENT_LENGTH"] = limit_bytes
    app.request_class = StrictRequest
    app.json = StrictJSON(app)
    app.before_request(lambda: _refuse_parameters(app))


def _refuse(constant: str) -> NoReturn:
    raise NotFiniteError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotFiniteError(f"the number {text[:40]}")
    return number


def _refuse_parameters(app: OpenAPI) -> Response | None:
    """The refusal of a request with a misspelt or repeated query parameter; None for any other request."""
    known = _known_parameters(app)
    if known is None:
        return None
    unknown = [name for name in request.args if name not in known]
    if unknown:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        given = ", ".join(problems.quoted(name) for name in unknown)
        return problems.respond(problems.INVALID, f"{request.path[:200]} takes no query parameter {given}; {takes}.")
    repeated = [name for name in known if len(request.args.getlist(name)) > 1]
    if repeated:
        return problems.respond(problems.INVALID, f"{', '.join(repeated)}: given more than once.")
    return None


def _known_parameters(app: OpenAPI) -> list[str] | None:
    """The query parameters of the requested route; None where the API document has no such route."""
    if request.url_rule is None:
        return None
    path = app.paths.get(parse_rule(request.url_rule.rule))
    method = "get" if request.method == "HEAD" else request.method.lower()
    operation = getattr(path, method, None)
    if operation is None:
        return None
    return [parameter.name for parameter in operation.parameters or () if parameter.param_in == "query"]
