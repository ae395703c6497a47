"""Query parameters are those that the document names, each once: one that is misspelt is refused, not passed over."""

from flask import Response, request
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.utils import parse_rule

from web import problems


def install(app: OpenAPI) -> None:
    """Makes every documented route refuse the parameters that its document does not name, and one said twice."""

    @app.before_request
    def refuse() -> Response | None:
        known = _known(app)
        if known is None:
            return None
        unknown = [name for name in request.args if name not in known]
        if unknown:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            given = ", ".join(problems.shown(name) for name in unknown)
            return problems.respond(
                problems.INVALID, f"{request.path[:200]} takes no query parameter {given}; {takes}."
            )
        repeated = [name for name in known if len(request.args.getlist(name)) > 1]
        if repeated:
            return problems.respond(problems.INVALID, f"{', '.join(repeated)}: said more than once.")
        return None


def _known(app: OpenAPI) -> list[str] | None:
    """The query parameters of the route that is asked; None where the document has no such route."""
    if request.url_rule is None:
        return None
    path = app.paths.get(parse_rule(request.url_rule.rule))
    method = "get" if request.method == "HEAD" else request.method.lower()
    operation = getattr(path, method, None)
    if operation is None:
        return None
    return [parameter.name for parameter in operation.parameters or () if parameter.param_in == "query"]
