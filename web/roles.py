"""Roles on Flask routes: `require` marks those that need one, `install` sees to it before a request is read."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Flask, g, request

from core.auth.tokens import Role
from web.auth import Access, Principal
from web.problems import documented

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
    "401": documented("No token came with it, or one that is not accepted (`unauthenticated`)."),
    "403": documented("The token is good, its role is not enough (`forbidden`)."),
    "503": documented("Something this needs does not respond (`unreachable`): nobody is let in unchecked."),
}
"""What a route that needs a role answers besides its own; with `security=SECURITY`."""
_ROLE = "needs_role"
_P = ParamSpec("_P")
_R = TypeVar("_R")


def require(role: Role) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Marks the function of a route; it stands beneath the decorator that names the path.

    The function itself fails where nothing was installed that heeds the mark.
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
    """Who makes the present request to a route that needs a role."""
    found: Principal = g.principal
    return found


def install(app: Flask, access: Access) -> None:
    """Refuses requests that lack the role of their route, ahead of all else that looks at them.

    Whatever lies under /management needs `admin`, marked or not, and even where there is nothing.
    """

    def enforce() -> None:
        role = _needed(app)
        if role is not None:
            g.principal = access.admit(request.environ, role)

    app.before_request_funcs.setdefault(None, []).insert(0, enforce)


def _needed(app: Flask) -> Role | None:
    if request.path == MANAGEMENT or request.path.startswith(f"{MANAGEMENT}/"):
        return Role.ADMIN
    marked: Role | None = getattr(app.view_functions.get(request.endpoint or ""), _ROLE, None)
    return marked
