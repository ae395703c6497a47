"""The learning endpoints on a real Postgres: what clients of such services send, and what they get."""

import json
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from core.auth import tokens
from core.auth.tokens import Role
from core.config.settings import Settings
from core.db.event_tables import quarantined_events
from core.errors import ConfigurationError, DatabaseUnreachableError
from serving.app import EXTENSION, create_app
from serving.pushed import tasks as live_tasks
from tests.support.paths import REPOSITORY

ROW = {"features": {"in_1": 135.0, "in_2": 130.0}, "target": 140.0}


@pytest.fixture
def pushed(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a service with the two pushed tasks that come with the project, and no MLflow to be reached."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name in ("live", "phishing"):
        shutil.copy(REPOSITORY / "tasks" / f"{name}.yaml", folder)
    return settings.model_copy(update={"tasks": folder, "mlflow_url": "http://127.0.0.1:9"})


@pytest.fixture
def replica(pushed: Settings) -> Iterator[Callable[..., FlaskClient]]:
    """Makes one more worker of the service; all are stopped at the end."""
    apps = []

    def make(**changes: object) -> FlaskClient:
        apps.append(create_app(pushed.model_copy(update=changes)))
        return apps[-1].test_client()

    yield make
    for app in apps:
        app.extensions[EXTENSION].stop()


@pytest.fixture
def client(replica: Callable[..., FlaskClient]) -> FlaskClient:
    return replica()


def post(client: FlaskClient, path: str, body: Any, status: int = 200, **more: Any) -> Any:
    answer = client.post(path, json=body, **more)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json()


def test_a_model_says_nothing_before_it_has_learned_and_then_something(client: FlaskClient) -> None:
    assert post(client, "/predict", {"features": {"in_1": 1.0}}) == {"prediction": None}
    assert post(client, "/predict_learn", ROW) == {"prediction": None}
    assert post(client, "/train", ROW) == {"message": "Model trained successfully"}
    assert post(client, "/predict_learn", ROW) == {"prediction": 140.0}
    assert post(client, "/predict", {"features": {"in_9": 1.0}})["prediction"] is not None


def test_a_list_is_answered_by_a_list_and_equals_the_rows_one_by_one(replica: Callable[..., FlaskClient]) -> None:
    rows = [{"features": {"in_1": float(i % 7)}, "target": float(i % 5)} for i in range(40)]
    client = replica()

    together = post(client, "/predict_learn", rows[:20])
    apart = [post(client, "/predict_learn", row) for row in rows[20:]]

    again = replica()
    figures = again.get("/model_metrics").get_json()
    assert figures == client.get("/model_metrics").get_json()
    assert figures["default"]["count"] == 39
    assert figures["default"]["last_prediction"] == apart[-1]["prediction"]
    assert [set(answer) for answer in together + apart] == [{"prediction"}] * 40
    assert post(client, "/predict_learn", []) == []


def test_an_id_counts_once_whatever_comes_of_it(client: FlaskClient) -> None:
    first = post(client, "/predict_learn", ROW)
    sent = ROW | {"id": 7, "features": {"in_1": 1.0}}

    answers = [post(client, "/predict_learn", sent) for _ in range(3)]

    assert answers[0] == answers[1] == answers[2] != first
    assert client.get("/model_metrics").get_json()["model_info"]["rows_learned"] == 2
    problem = post(client, "/predict_learn", sent | {"target": 1.0}, 409)
    assert problem["type"] == "conflict"
    assert "'7'" in problem["detail"]


@pytest.mark.parametrize("label_first", [False, True])
def test_a_prediction_and_its_label_find_each_other_by_the_id(client: FlaskClient, label_first: bool) -> None:
    post(client, "/predict_learn", ROW)
    requests = [("/predict", {"features": {"in_1": 2.0}, "id": "a"}), ("/train", {"target": 3.0, "id": "a"})]

    for path, body in reversed(requests) if label_first else requests:
        post(client, path, body)

    figures = client.get("/model_metrics").get_json()
    assert figures["model_info"]["rows_learned"] == 2
    assert figures["default"]["count"] == (0 if label_first else 1)


def test_figures_are_kept_by_series_and_survive_a_restart(replica: Callable[..., FlaskClient]) -> None:
    client = replica()
    for value in (1.0, 2.0, 4.0):
        post(client, "/predict_learn", {"features": {"in_1": value}, "target": value + 1, "series_id": "airline"})
    figures = client.get("/model_metrics").get_json()

    assert set(figures) == {"airline", "model_info"}
    airline = figures["airline"]
    assert airline["count"] == 2
    assert airline["mse"] == pytest.approx(airline["rmse"] ** 2)
    assert airline["last_actual"] == 5.0
    assert airline["last_error"] == 5.0 - airline["last_prediction"]
    assert {f"{name}_{n}" for name in ("mae", "mse", "rmse", "mape") for n in (5, 10, 20)} <= set(airline)
    assert replica().get("/model_metrics").get_json() == figures


def test_the_binary_task_answers_a_class_and_its_probability(client: FlaskClient) -> None:
    rows = [{"features": {"x": float(i % 2)}, "target": i % 2} for i in range(60)]
    post(client, "/predict_learn?task=phishing", rows)

    answer = post(client, "/predict?task=phishing", {"features": {"x": 1.0}})

    assert answer["prediction"] == 1
    assert answer["probability"] > 0.5
    figures = client.get("/model_metrics?task=phishing").get_json()["default"]
    assert figures["count"] == 59
    assert figures["accuracy"] > 0.8
    assert figures["roc_auc"] > 0.9
    assert post(client, "/predict_learn?task=phishing", {"features": {}, "target": 0.5}, 422)["type"] == "quarantined"


def test_a_forecast_feeds_each_prediction_back(client: FlaskClient) -> None:
    rows = [{"features": {"in_1": float(i), "in_2": float(i - 1)}, "target": float(i + 1)} for i in range(2, 60)]
    post(client, "/train", rows)

    told = post(client, "/predict_many", {"features": {"in_1": 60.0, "in_2": 59.0}})
    longer = post(client, "/predict_many", {"features": {"in_1": 60.0, "in_2": 59.0}, "steps": 7})

    assert [step["step"] for step in told["forecast"]] == [1, 2, 3, 4, 5]
    assert longer["forecast"][:5] == told["forecast"]
    second = {"features": {"in_1": told["forecast"][0]["value"], "in_2": 60.0}}
    assert post(client, "/predict", second)["prediction"] == told["forecast"][1]["value"]


def test_an_outlier_is_kept_with_its_reason_and_not_learned(client: FlaskClient, engine: sa.Engine) -> None:
    post(client, "/train", [{"features": {"in_1": 100.0 + i % 7}, "target": 50.0 + i % 5} for i in range(60)])
    strange = {"features": {"in_1": 1e9}, "target": 51.0, "id": "strange"}

    problem = post(client, "/predict_learn", strange, 422)
    some = post(
        client, "/predict_learn", [strange | {"id": "other"}, {"features": {"in_1": 101.0}, "target": 51.0}], 207
    )

    assert problem["type"] == some[0]["type"] == "quarantined"
    assert "in_1 is 1e+09" in problem["detail"]
    assert some[1]["prediction"] is not None
    assert client.get("/model_metrics").get_json()["model_info"]["rows_learned"] == 61
    with engine.connect() as connection:
        kept = connection.execute(sa.select(quarantined_events).order_by(quarantined_events.c.id)).all()
    assert [(row.event_id, row.reason, row.features) for row in kept] == [
        ("strange", "outlier", {"in_1": 1e9}),
        ("other", "outlier", {"in_1": 1e9}),
    ]


def test_a_body_is_read_to_its_end_though_nobody_can_be_let_in(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that is told 503 in the middle of its body sees a torn connection."""

    def unreachable(*_: object) -> None:
        raise DatabaseUnreachableError("Postgres did not answer.")

    monkeypatch.setattr(client.application.extensions[EXTENSION].access, "admit", unreachable)
    sent = json.dumps([ROW] * 1000).encode()
    body = BytesIO(sent)

    answer = client.post("/predict_learn", input_stream=body, content_length=len(sent), content_type="application/json")

    assert answer.status_code == 503
    assert body.tell() == len(sent)


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/predict_learn?task=nowhere", ROW, 404, "not_found"),
        ("/predict_learn?task=spy", ROW, 404, "not_found"),
        ("/predict_learn?tsak=live", ROW, 422, "invalid"),
        ("/predict_learn", {"features": {"a": "b"}, "target": 1}, 422, "invalid"),
        ("/predict_learn", {"features": {"a": 1}}, 422, "invalid"),
        ("/predict_learn", {"target": 1, "id": "x"}, 422, "invalid"),
        ("/train", {"target": 1}, 422, "invalid"),
        ("/predict", {}, 422, "invalid"),
        ("/predict", "text", 422, "invalid"),
        ("/predict", ROW | {"id": ""}, 422, "invalid"),
        ("/predict", ROW | {"series_id": "a\nb"}, 422, "invalid"),
        ("/predict", [ROW] * 1001, 413, "too_large"),
        ("/predict", ROW | {"series_id": "model_info"}, 422, "invalid"),
        ("/predict_many", {"features": {}, "steps": 0}, 422, "invalid"),
        ("/predict_many", {"features": {}, "steps": 1001}, 413, "too_large"),
    ],
)
def test_what_does_not_fit_is_told_and_not_learned(
    client: FlaskClient, path: str, body: Any, status: int, kind: str
) -> None:
    problem = post(client, path, body, status)

    assert problem["type"] == kind
    assert problem["detail"].endswith(".")
    assert client.get("/model_metrics").get_json()["model_info"]["last_event_id"] == 0


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b'{"features": {"a": 1', "application/json", 400),
        (b'{"features": {"a": NaN}, "target": 1}', "application/json", 400),
        (b'{"features": {"a": 1e999}, "target": 1}', "application/json", 422),
        (b'{"features": {"a": 1}, "target": 1}', "text/plain", 415),
        (b"", "application/json", 400),
        (b" " * (2**20 + 1), "application/json", 413),
    ],
)
def test_what_is_no_json_is_refused(client: FlaskClient, body: bytes, media: str, status: int) -> None:
    answer = client.post("/predict_learn", data=body, content_type=media)

    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"


def test_training_needs_a_token_once_a_trainer_has_one(replica: Callable[..., FlaskClient], engine: sa.Engine) -> None:
    secret = tokens.create(engine, name="ci", role=Role.TRAINER, lifetime=None, who="test")
    client = replica()
    good = {"Authorization": f"Bearer {secret}"}

    assert post(client, "/predict_learn", ROW, 401)["type"] == "unauthenticated"
    assert post(client, "/train", ROW, 401)["type"] == "unauthenticated"
    assert post(client, "/predict_learn", ROW, 401, headers={"Authorization": "Bearer wrong"})
    assert post(client, "/predict_learn", ROW, headers=good) == {"prediction": None}
    assert post(client, "/predict", {"features": {}})["prediction"] is not None


def test_too_many_requests_are_told_when_to_come_again(replica: Callable[..., FlaskClient]) -> None:
    client = replica(rate_limit="3/minute")
    for _ in range(3):
        post(client, "/predict", {"features": {}})

    answer = client.post("/predict", json={"features": {}})

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_model_name_picks_the_contender_of_live_and_an_unknown_one_is_an_error(
    replica: Callable[..., FlaskClient], pushed: Settings
) -> None:
    client = replica(model_name="knn_regressor")

    assert client.get("/model_metrics").get_json()["model_info"]["model_name"] == "knn_regressor"
    assert client.get("/model_metrics?task=phishing").get_json()["model_info"]["model_name"] == "logistic_regression"
    with pytest.raises(ConfigurationError, match=r"MODEL_NAME is 'arima'.*holt_winters"):
        live_tasks.check(pushed.model_copy(update={"model_name": "arima"}))


def test_feedback_is_kept_and_can_be_read(client: FlaskClient) -> None:
    kept = post(client, "/feedback", {"message": "too high", "prediction_id": 7, "rating": 2})

    assert kept["message"] == "Feedback received successfully"
    (read,) = client.get("/feedback").get_json()["feedback"]
    assert {name: read[name] for name in ("id", "message", "prediction_id", "rating")} == {
        "id": kept["id"],
        "message": "too high",
        "prediction_id": "7",
        "rating": 2,
    }


def test_the_pages_of_the_service_tell_of_the_learners(client: FlaskClient) -> None:
    for value in (1.0, 2.0, 4.0):
        post(client, "/predict_learn", {"features": {"in_1": value}, "target": value + 1, "series_id": "airline"})

    assert client.get("/health").get_json()["model_loaded"] is True
    live = next(task for task in client.get("/info").get_json()["pushed_tasks"] if task["name"] == "live")
    assert (live["contender"], live["last_event_id"], live["rows_learned"]) == ("linear_regression", 3, 3)
    page = client.get("/metrics").get_data(as_text=True)
    labels = '{model="linear_regression",series="airline",task="live"}'
    assert f"ml_model_predictions_total{labels} 2.0" in page
    for name in ("ml_model_mae", "ml_model_rmse", "ml_model_last_prediction"):
        assert f"{name}{labels}" in page
