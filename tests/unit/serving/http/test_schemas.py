"""What a client is told of a threshold that cannot be used, and how the document shows what may be left out."""

import pytest
from flask.testing import FlaskClient

from serving.http.schemas import Prediction, ThresholdQuery
from web.app import create_app


@pytest.fixture
def client() -> FlaskClient:
    app = create_app("test", title="", description="", version="1", home_page="")

    @app.get("/ask")
    def ask(query: ThresholdQuery) -> dict[str, float | None]:
        return {"threshold": query.threshold}

    return app.test_client()


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [
        ("1.2", "threshold: input should be less than or equal to 1; it was '1.2'."),
        ("-0.1", "threshold: input should be greater than or equal to 0; it was '-0.1'."),
        ("nan", "threshold: input should be a finite number; it was 'nan'."),
        ("high", "threshold: input should be a valid number, unable to parse string as a number; it was 'high'."),
    ],
)
def test_a_threshold_that_cannot_be_used_is_refused_in_one_sentence(
    client: FlaskClient, threshold: str, sentence: str
) -> None:
    response = client.get("/ask", query_string={"threshold": threshold})

    assert (response.status_code, response.get_json()["detail"]) == (422, sentence)


@pytest.mark.parametrize(("query", "threshold"), [("", None), ("threshold=0", 0.0), ("threshold=1e-1", 0.1)])
def test_a_threshold_may_be_left_out(client: FlaskClient, query: str, threshold: float | None) -> None:
    assert client.get(f"/ask?{query}").get_json() == {"threshold": threshold}


def test_the_document_shows_what_may_be_left_out_as_a_number_with_its_bounds() -> None:
    threshold = ThresholdQuery.model_json_schema()["properties"]["threshold"]
    confidence = Prediction.model_json_schema()["properties"]["confidence"]

    assert (threshold["type"], threshold["minimum"], threshold["maximum"]) == ("number", 0, 1)
    assert "default" not in threshold
    assert confidence["type"] == "number"
