"""The use case: what is answered of a champion and the latest data."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from core.config.tasks import Task
from core.errors import DataRefusedError, NotFoundError
from features.dataset import DatasetRow
from serving.champion.predictor import (
    Champion,
    Latest,
    NoPredictionError,
    NoThresholdError,
    ServedPrediction,
    predict,
    predict_latest,
)
from serving.champion.state import NoChampionError, NoDataError, ServingState
from training.registry.versions import Version

SPY = Task.model_validate(
    {
        "name": "spy", "title": "Up?", "series": "SPY", "source": "yahoo", "frequency": "session", "calendar": "XNYS",
        "start": "1999-01-01", "stale_after_days": 5, "target": {"kind": "direction", "threshold": 0.5},
        "features": [{"return": {"n": 1}}, "range"], "baseline": "base-rate",
        "contenders": {"base-rate": {"kind": "baseline", "procedure": "base_rate"}},
    }
)  # fmt: skip
AIRLINE = SPY.model_copy(update={"name": "airline", "target": SPY.target.model_copy(update={"kind": "value"})})
VERSION = Version(
    task="spy", version=3, contender="logistic", contender_hash="c", kind="batch", series="GSPC",
    trained_through=date(2018, 12, 28), rows_trained=1000, data_hash="d", artifact_digest="a" * 64,
    code_version="e", run_id="r", golden={},
)  # fmt: skip
LATEST = Latest(
    DatasetRow(date(2018, 12, 31), date(2019, 1, 2), {"return_1": 0.25, "range": 0.5}, "f" * 16),
    "GSPC",
    "sample",
    "d" * 16,
)


class Sum:
    """Answers the sum of each row."""

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return rows.sum(axis=1)


def champion(model: object = None) -> Champion:
    return Champion(VERSION, ("return_1", "range"), model or Sum(), "mlflow")


def served(task: Task = SPY, value: float | None = 0.75) -> ServedPrediction:
    return ServedPrediction(task, champion(), LATEST, value, "unproven")


def test_the_answer_has_the_fields_that_clients_know_and_where_it_came_from() -> None:
    answer = served().answer(0.6, date(2019, 1, 1))

    assert answer.fields() == {
        "prediction": "UP", "confidence": 0.75, "threshold": 0.6, "model_source": "mlflow", "model_alias": "champion",
        "model_name": "spy", "model_version": 3, "contender": "logistic", "as_of": "2018-12-31",
        "target_date": "2019-01-02", "data_source": "sample", "data_age_days": 1, "stale": False,
        "beats_baseline": "unproven",
    }  # fmt: skip


@pytest.mark.parametrize(("threshold", "said"), [(0.0, "UP"), (0.75, "UP"), (0.7500001, "DOWN"), (1.0, "DOWN")])
def test_up_is_said_when_its_probability_reaches_the_threshold(threshold: float, said: str) -> None:
    assert served().answer(threshold, date(2019, 1, 1)).prediction == said


def test_without_a_threshold_the_tasks_own_counts() -> None:
    task = SPY.model_copy(update={"target": SPY.target.model_copy(update={"threshold": 0.8})})

    answer = served(task).answer(None, date(2019, 1, 1))

    assert (answer.prediction, answer.threshold) == ("DOWN", 0.8)


def test_a_predicted_number_has_neither_confidence_nor_threshold() -> None:
    fields = served(AIRLINE, 451.5).answer(None, date(2019, 1, 1)).fields()

    assert fields["prediction"] == 451.5
    assert not {"confidence", "threshold"} & set(fields)


def test_a_threshold_for_a_number_is_refused_with_the_reason() -> None:
    with pytest.raises(NoThresholdError, match="predicts a number"):
        served(AIRLINE, 451.5).answer(0.5, date(2019, 1, 1))


@pytest.mark.parametrize(("today", "age", "stale"), [(date(2019, 1, 5), 5, False), (date(2019, 1, 6), 6, True)])
def test_data_go_stale_as_days_pass(today: date, age: int, stale: bool) -> None:
    answer = served().answer(None, today)

    assert (answer.data_age_days, answer.stale) == (age, stale)


def test_a_model_without_a_value_yet_gives_no_prediction() -> None:
    with pytest.raises(NoPredictionError):
        served(value=None).answer(None, date(2019, 1, 1))


def test_a_champion_stands_on_one_prediction_of_the_latest_row() -> None:
    assert predict_latest(SPY, champion(), LATEST, "no").value == 0.75


def test_a_model_of_other_features_is_refused() -> None:
    other = replace(champion(), feature_names=("range", "return_1"))

    with pytest.raises(DataRefusedError, match="other features"):
        predict_latest(SPY, other, LATEST, "no")


def test_a_probability_outside_zero_to_one_is_refused() -> None:
    far = replace(LATEST, row=replace(LATEST.row, features={"return_1": 5.0, "range": 5.0}))

    with pytest.raises(DataRefusedError, match="probability"):
        predict_latest(SPY, champion(), far, "no")


def test_what_is_not_a_number_is_no_prediction() -> None:
    class Cold:
        def predict(self, rows: np.ndarray) -> np.ndarray:
            return np.full(len(rows), np.nan)

    assert predict(Cold(), [[1.0], [2.0]]) == [None, None]


def test_a_model_that_answers_another_number_of_rows_is_refused() -> None:
    class Short:
        def predict(self, rows: np.ndarray) -> np.ndarray:
            return np.zeros(1)

    with pytest.raises(DataRefusedError, match="shape"):
        predict(Short(), [[1.0], [2.0]])


def test_the_board_says_why_it_has_no_standing() -> None:
    state = ServingState()
    state.tasks = {"spy": SPY, "airline": AIRLINE}
    state.champions = {"airline": champion()}

    with pytest.raises(NotFoundError, match="Known tasks: airline, spy"):
        state.prediction("gold")
    with pytest.raises(NoChampionError, match="contender run spy"):
        state.prediction("spy")
    with pytest.raises(NoDataError, match="contender ingest airline"):
        state.prediction("airline")


def test_a_published_standing_is_found_until_its_task_is_gone() -> None:
    state = ServingState()
    state.tasks = {"spy": SPY}

    state.publish(served())
    assert state.prediction("spy").value == 0.75

    state.forget("spy")
    with pytest.raises(NoChampionError):
        state.prediction("spy")
