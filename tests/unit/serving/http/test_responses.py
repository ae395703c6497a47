"""Replies are made once, sent many times, and gone with what they were made of."""

import json
import uuid
from datetime import UTC, date, datetime
from typing import Any

import pytest

from core.db.pipeline_tables import predictions
from core.jobs.clock import FixedClock
from features.dataset import DatasetRow
from serving.champion.predictor import Champion, Latest, ServedPrediction
from serving.http.responses import KEPT_REPLIES, ResponseCache
from serving.prediction_log.postgres import COLUMNS, LoggedAnswer
from training.registry.versions import Version

NOON = datetime(2019, 1, 1, 12, tzinfo=UTC)


class Notes:
    """A log that keeps what it is given."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, LoggedAnswer, datetime]] = []

    def add(self, identity: str, logged: LoggedAnswer, made_at: datetime) -> None:
        self.entries.append((identity, logged, made_at))


class Clock:
    """A clock that is set by hand."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant


@pytest.fixture
def served(spy: Any) -> ServedPrediction:
    version = Version(
        task="spy", version=3, contender="logistic", contender_hash="c", kind="batch", series="GSPC",
        trained_through=date(2018, 12, 28), rows_trained=1000, data_hash="d", artifact_digest="a" * 64,
        code_version="e", run_id="run-7", golden={},
    )  # fmt: skip
    row = DatasetRow(date(2018, 12, 31), date(2019, 1, 2), {"return_1": 0.25}, "f" * 16)
    latest = Latest(row, "GSPC", "sample", "d" * 16)
    return ServedPrediction(spy, Champion(version, ("return_1",), None, "mlflow"), latest, 0.75, "no")


@pytest.fixture
def spy() -> Any:
    from core.config.tasks import Task

    return Task.model_validate(
        {
            "name": "spy", "title": "Up?", "series": "SPY", "source": "yahoo", "frequency": "session",
            "calendar": "XNYS", "start": "1999-01-01", "target": {"kind": "direction"}, "stale_after_days": 1,
            "features": [{"return": {"n": 1}}], "baseline": "base-rate",
            "contenders": {"base-rate": {"kind": "baseline", "procedure": "base_rate"}},
        }
    )  # fmt: skip


def test_what_was_made_is_sent_again_under_another_id(served: ServedPrediction) -> None:
    notes = Notes()
    responses = ResponseCache(notes, FixedClock(NOON))

    first = responses.make(served, "threshold=0.6", 0.6)
    again = responses.cached(served, "threshold=0.6")

    assert again is not None
    assert again.body == first.body
    assert json.loads(first.body)["threshold"] == 0.6
    headers, later = dict(first.headers), dict(again.headers)
    assert headers.pop("X-Prediction-Id") != later.pop("X-Prediction-Id")
    assert headers == later
    assert headers["Content-Length"] == str(len(first.body))
    assert (headers["X-Model-Version"], headers["X-Run-Id"]) == ("3", "run-7")


def test_every_sending_is_logged_under_the_id_that_the_client_saw(served: ServedPrediction) -> None:
    notes = Notes()
    responses = ResponseCache(notes, FixedClock(NOON))

    sent = [
        responses.make(served, "", None),
        responses.cached(served, ""),
        responses.cached(served, ""),
    ]

    seen = [dict(one.headers)["X-Prediction-Id"] for one in sent if one is not None]
    assert [identity for identity, _, _ in notes.entries] == seen
    assert len({uuid.UUID(identity) for identity in seen}) == 3


def test_another_question_is_not_known(served: ServedPrediction) -> None:
    responses = ResponseCache(Notes(), FixedClock(NOON))

    responses.make(served, "threshold=0.6", 0.6)

    assert responses.cached(served, "threshold=0.60") is None


def test_a_reply_is_good_until_midnight(served: ServedPrediction) -> None:
    clock = Clock(NOON)
    responses = ResponseCache(Notes(), clock)
    today = responses.make(served, "", None)

    clock.instant = datetime(2019, 1, 1, 23, 59, 59, tzinfo=UTC)
    assert responses.cached(served, "") is not None
    clock.instant = datetime(2019, 1, 2, tzinfo=UTC)
    assert responses.cached(served, "") is None

    tomorrow = responses.make(served, "", None)
    assert (json.loads(today.body)["data_age_days"], json.loads(today.body)["stale"]) == (1, False)
    assert (json.loads(tomorrow.body)["data_age_days"], json.loads(tomorrow.body)["stale"]) == (2, True)


def test_many_thresholds_do_not_fill_the_memory(served: ServedPrediction) -> None:
    responses = ResponseCache(Notes(), FixedClock(NOON))

    for number in range(3 * KEPT_REPLIES):
        responses.make(served, f"threshold=0.{number}", 0.5)

    assert len(served.replies) <= KEPT_REPLIES


def test_a_logged_line_has_a_value_for_every_column_of_the_table(served: ServedPrediction) -> None:
    answer = served.answer(0.6, NOON.date())

    line = LoggedAnswer.of(served, answer).line("some-id", NOON)

    assert set(COLUMNS) == set(predictions.c.keys())
    assert line.endswith("\n")
    assert dict(zip(COLUMNS, line[:-1].split("\t"), strict=True)) == {
        "id": "some-id", "made_at": "2019-01-01 12:00:00+00:00", "task": "spy", "series": "GSPC",
        "contender": "logistic", "version": "3", "alias": "champion", "event_date": "2018-12-31",
        "target_date": "2019-01-02", "value": "0.75", "threshold": "0.6", "prediction": "UP",
        "features_hash": "f" * 16, "data_hash": "d" * 16, "stale": "False",
        "last_event_id": "\\N",
    }  # fmt: skip
