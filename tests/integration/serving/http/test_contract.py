"""The API answers as its own document says, whatever it is asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import sqlalchemy as sa
from flask_openapi3.openapi import OpenAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as trials

from core.config.settings import Settings
from serving.app import EXTENSION, create_app
from tests.support.serving.world import make_world


@pytest.fixture
def app(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[OpenAPI]:
    world = make_world(settings_with_registry, engine, tmp_path / "tasks")
    world.crown(world.versions[0])
    app = create_app(world.settings)
    yield app
    app.extensions[EXTENSION].stop()


def test_every_endpoint_keeps_to_the_document(app: OpenAPI) -> None:
    document = schemathesis.openapi.from_wsgi("/openapi.json", app)

    for found in document.get_all_operations():
        operation = found.ok()

        @trials(
            max_examples=15, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def keeps_to_it(case: schemathesis.Case) -> None:
            case.call_and_validate()

        keeps_to_it()
