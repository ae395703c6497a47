"""The OpenAPI documents of the three services, from the services themselves."""

from typing import Any

import features.api
import ingestion.api
from core.config.settings import Settings
from postman.collection import Service
from serving.app import EXTENSION, create_app

_DEFAULTS = Settings.model_fields


def services(settings: Settings) -> list[Service]:
    """Each service with its document, in the order of the stream: observations, features, learning."""
    api = create_app(settings)
    api.extensions[EXTENSION].stop()
    apps = {"ingestion": ingestion.api.create_app(settings), "features": features.api.create_app(settings), "api": api}
    return [Service(name, _url(name), _document(app)) for name, app in apps.items()]


def _url(name: str) -> str:
    return f"http://{_DEFAULTS[f'{name}_host'].default}:{_DEFAULTS[f'{name}_port'].default}"


def _document(app: Any) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found
