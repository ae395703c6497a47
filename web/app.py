"""The app factory of every HTTP service: typed routes, OpenAPI with an offline Swagger page, health, problems."""

from collections.abc import Mapping
from http import HTTPStatus

from flask_openapi3.models.info import Info
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field

from core.errors import ContenderError
from web import body, problems

SERVICE = Tag(name="service", description="What the service says about itself.")


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
) -> OpenAPI:
    """A Flask app with `/openapi.json`, `/swagger`, `/health/live` and `home_page` (a Jinja text) at `/`.

    `kinds` says how the service's own errors are told; those of `core.errors` are known.
    """
    app = OpenAPI(
        name,
        info=Info(title=title, description=description, version=version),
        security_schemes={},  # left out, the document would say null, which is none of its types
        doc_prefix="",
        validation_error_status=HTTPStatus.UNPROCESSABLE_ENTITY,
        validation_error_model=problems.Problem,
        validation_error_callback=problems.refuse_invalid,
        responses={"422": problems.documented(), "500": problems.documented()},
    )
    app.config["OPENAPI_HTML_STRING"] = home_page
    app.config["SWAGGER_CONFIG"] = {
        "docExpansion": "list",
        "tagsSorter": "alpha",
        "defaultModelsExpandDepth": 0,
        "tryItOutEnabled": True,
        "validatorUrl": None,  # it would ask a server on the internet
    }
    body.install(app)
    problems.install(app, kinds or {})

    @app.get("/health/live", tags=[SERVICE], summary="Whether the process answers", responses={"200": Live})
    def live() -> dict[str, str]:
        return {"status": "live"}

    return app
