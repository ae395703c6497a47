"""Requests that are turned away before they are read: the error, and its answer with the headers that belong to it."""

from collections.abc import Mapping

from flask import Flask, Response

from core.errors import ContenderError
from web.problems import Kind, respond


class RefusedError(ContenderError):
    """A request that is not taken: for want of a token, of a role, or because too many came before it."""

    def __init__(self, kind: Kind, problem: str, remedy: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem, remedy)
        self.kind = kind
        self.headers = dict(headers or {})


def answer(error: RefusedError) -> Response:
    """The refusal as a response. It is a WSGI app as well: `answer(error)(environ, start_response)`."""
    response = respond(error.kind, str(error))
    response.headers.update(error.headers)
    return response


def install(app: Flask) -> None:
    """Makes the app answer refusals; asked for twice, it is done once."""
    app.register_error_handler(RefusedError, answer)
