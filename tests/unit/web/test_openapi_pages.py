"""The documentation of a service works on a machine without a network."""

import re

import pytest
from flask.testing import FlaskClient

from web.app import add_liveness, create_app


@pytest.fixture
def client() -> FlaskClient:
    app = create_app("test", title="Test service", description="About it.", version="1", home_page="<h1>Hello</h1>")
    add_liveness(app)
    return app.test_client()


def test_the_document_says_what_there_is_and_how_problems_look(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()

    live = document["paths"]["/health/live"]["get"]
    assert document["info"]["title"] == "Test service"
    assert set(live["responses"]["422"]["content"]) == {"application/problem+json"}
    assert set(document["components"]["schemas"]["Problem"]["required"]) == {"type", "title", "status", "detail"}


def test_the_document_shows_no_lock_where_there_is_none_and_the_success_before_the_problems(
    client: FlaskClient,
) -> None:
    document = client.get("/openapi.json").get_json()

    assert "securitySchemes" not in document["components"]
    assert list(document["paths"]["/health/live"]["get"]["responses"]) == ["200", "422", "500"]


def test_every_reference_of_the_document_leads_somewhere(client: FlaskClient) -> None:
    response = client.get("/openapi.json")

    for name in re.findall(r'"#/components/schemas/(\w+)"', response.text):
        assert name in response.get_json()["components"]["schemas"]


def test_the_swagger_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/swagger").text

    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert assets
    for asset in assets:
        assert "//" not in asset
        with client.get(f"/{asset}") as response:
            assert response.status_code == 200
            assert asset.endswith(".js") or "url(http" not in response.text
    assert '"validatorUrl": null' in page  # or it would show what a validator on the internet thinks


def test_the_home_page_is_the_services_own(client: FlaskClient) -> None:
    assert client.get("/").text == "<h1>Hello</h1>"


def test_a_live_process_says_so(client: FlaskClient) -> None:
    assert client.get("/health/live").get_json() == {"status": "live"}
