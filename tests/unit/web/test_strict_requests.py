"""A parameter that a route does not know is refused by name: passed over, it would be answered as if unsaid."""

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel

from web.app import create_app


class Query(BaseModel):
    """A query."""

    share: float = 0.5
    since: str = ""


@pytest.fixture
def client() -> FlaskClient:
    app = create_app("test", title="", description="", version="1", home_page="Hello")

    @app.get("/ask/<name>")
    def ask(query: Query) -> dict[str, float]:
        return {"share": query.share}

    @app.get("/plain")
    def plain() -> dict[str, str]:
        return {}

    return app.test_client()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/ask/x?shar=0.6", "/ask/x takes no query parameter 'shar'; it takes share, since."),
        ("/ask/x?share=0.6&a=1&a=2&b=", "/ask/x takes no query parameter 'a', 'b'; it takes share, since."),
        ("/plain?share=0.6", "/plain takes no query parameter 'share'; it takes none."),
        ("/ask/x?share=0.6&share=0.7", "share: given more than once."),
    ],
)
def test_an_unknown_parameter_is_refused_with_the_known_ones(client: FlaskClient, path: str, sentence: str) -> None:
    response = client.get(path)

    assert (response.status_code, response.mimetype) == (422, "application/problem+json")
    assert (response.get_json()["type"], response.get_json()["detail"]) == ("invalid", sentence)
    assert client.head(path).status_code == 422


def test_known_parameters_pass_in_any_order(client: FlaskClient) -> None:
    assert client.get("/ask/x?since=1&share=0.25").get_json() == {"share": 0.25}
    assert client.get("/plain?").status_code == 200


def test_a_name_of_any_length_is_told_back_in_short(client: FlaskClient) -> None:
    assert len(client.get("/plain?" + "x" * 5000).get_json()["detail"]) < 200


@pytest.mark.parametrize(("path", "status"), [("/?from=mail", 200), ("/nothing?a=1", 404), ("/swagger?a=1", 200)])
def test_what_the_document_does_not_describe_is_left_alone(client: FlaskClient, path: str, status: int) -> None:
    assert client.get(path).status_code == status


def test_another_method_is_told_as_such(client: FlaskClient) -> None:
    assert client.post("/plain?a=1").status_code == 405
    assert client.options("/plain?a=1").status_code == 200
