"""Roles of Flask routes: `require` declares the role of a route, `install` enforces it before a request is read."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Flask, g, request

from core.auth.tokens import Role
from web.auth import AccessControl, Principal
from web.problems import problem_response

MANAGEMENT = "/management"
SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token made by `contender token create`. Training on a service that listens to its own "
        "machine only needs none until the first one of the role `trainer` is made.",
    }
}
SECURITY: list[dict[str, list[Any]]] = [{"bearer": []}]
RESPONSES: dict[str | int, Any] = {
    "401": problem_response("No token came with it, or one that is not accepted (`unauthenticated`)."),
    "403": problem_response("The token is good, its role is not enough (`forbidden`)."),
    "503": problem_response("Something this needs does not respond (`unreachable`): no request is accepted unchecked."),
}
"""The responses of a route that needs a role, besides its own; with `security=SECURITY`."""
_ROLE = "needs_role"
_P = ParamSpec("_P")
_R = TypeVar("_R")


def require(role: Role) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Declare the role of a route, beneath the decorator that names its path.

    Without `install` the route fails instead of being open.
    """

    def mark(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            if not principal().role.suffices_for(role):
                raise RuntimeError(f"{request.path} was reached without the role {role.value}.")
            return function(*args, **kwargs)

        setattr(guarded, _ROLE, role)
        return guarded

    return mark


def principal() -> Principal:
    """The sender of the present request, to a route that needs a role."""
    found: Principal = g.principal
    return found


def install(app: Flask, access: AccessControl) -> None:
    """Refuse requests without the role of their route, before any other check.

    Every path under /management needs `admin`, also one that does not exist.
    """

    def enforce() -> None:
        role = _needed(app)
        if role is not None:
            g.principal = access.admit(request.environ, role)

    # First of all: a request without the role must not learn whether its body would have been accepted.
    app.before_request_funcs.setdefault(None, []).insert(0, enforce)


def _needed(app: Flask) -> Role | None:
    if request.path == MANAGEMENT or request.path.startswith(f"{MANAGEMENT}/"):
        return Role.ADMIN
    marked: Role | None = getattr(app.view_functions.get(request.endpoint or ""), _ROLE, None)
    return marked
