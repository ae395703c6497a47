"""The app factory of every HTTP service: typed routes, OpenAPI with an offline Swagger page, health, problems."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask_openapi3.models.info import Info
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field

from core.errors import ContenderError
from web import problems, strict_requests
from web.problems import problem_response

SERVICE = Tag(name="service", description="What the service says about itself.")


class DocumentedApp(OpenAPI):
    """An app whose OpenAPI document has no empty parts and lists successes before problems."""

    def generate_spec_json(self) -> None:
        """Make the document, once, at its first request."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        if not self.security_schemes:  # the library would show a lock for schemes that do not exist
            del self.spec_json["components"]["securitySchemes"]
        for operations in self.spec_json["paths"].values():
            for operation in operations.values():
                operation["responses"] = dict(sorted(operation["responses"].items()))


class Live(BaseModel):
    """The process answers."""

    status: str = Field(examples=["live"])


def create_app(
    name: str,
    *,
    title: str,
    description: str,
    version: str,
    home_page: str,
    kinds: Mapping[type[ContenderError], problems.Kind] | None = None,
    body_limit_bytes: int = strict_requests.LIMIT_BYTES,
    security_schemes: Mapping[str, Any] | None = None,
) -> OpenAPI:
    """A Flask app with `/openapi.json`, `/swagger` and `home_page` (a Jinja text) at `/`.

    Its document shows routes and tags in the order in which they are added. `kinds` says how the service's own errors
    are answered; those of `core.errors` are known. `security_schemes` are those that its routes name.
    """
    app = DocumentedApp(
        name,
        info=Info(title=title, description=description, version=version),
        security_schemes=dict(security_schemes or {}),
        # With the library's own prefix the document would be at /openapi/openapi.json.
        doc_prefix="",
        validation_error_status=HTTPStatus.UNPROCESSABLE_ENTITY,
        validation_error_model=problems.Problem,
        validation_error_callback=problems.refuse_invalid,
        responses={
            "422": problem_response(
                "Something in the request cannot be used (type `invalid`): an unknown or repeated parameter, "
                "or a value that does not fit."
            ),
            "500": problem_response("A fault in the service (`fault`)."),
        },
    )
    app.config["OPENAPI_HTML_STRING"] = home_page
    app.config["SWAGGER_CONFIG"] = {
        "docExpansion": "list",
        "defaultModelsExpandDepth": 0,
        "tryItOutEnabled": True,
        "validatorUrl": None,  # it would ask a server on the internet
    }
    strict_requests.install(app, body_limit_bytes)
    problems.install(app, kinds or {})
    return app


def add_liveness(app: OpenAPI) -> None:
    """Adds `/health/live`, which every service answers as long as its process does."""

    @app.get("/health/live", tags=[SERVICE], summary="Whether the process answers", responses={"200": Live})
    def live() -> dict[str, str]:
        return {"status": "live"}
