"""Learners of rows: they say what the bare models say, learn what could be known, and stand in logs of their own."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from core.config.tasks import Feature, Task
from features.arrays import History
from features.dataset import Dataset
from training.backtest.walk_forward import walk
from training.event_log import dataset_log
from training.learners.factory import StoredModel, learns, stored_learner_factory, stored_learner_key, stored_model
from training.models.base import Batch
from training.models.catalog import make
from training.models.online import DEFAULT_SERIES

ROWS = 60
CONTENDERS = {
    "spy": ("base-rate", "river-logistic"),
    "airline": ("naive", "seasonal-naive", "seasonal-growth", "linear", "holt-winters", "snarimax"),
}


@pytest.fixture(params=[(task, name) for task, names in CONTENDERS.items() for name in names], ids="/".join)
def chosen(request: pytest.FixtureRequest, spy: Task, airline: Task) -> tuple[Task, str]:
    """A task and one of its contenders that learn row by row."""
    task, name = request.param
    return {"spy": spy, "airline": airline}[task], name


def by_hand(task: Task, name: str, dataset: Dataset) -> list[tuple[date | None, float | None]]:
    """Of each row the last date learned before it and the prediction, by the bare model in the plainest of loops."""
    model = make(task, name)
    assert not isinstance(model, Batch)
    table = dataset.table
    rows = table.select(dataset.feature_names).to_numpy()
    waiting = [i for i, label in enumerate(table["label"]) if label is not None]
    made: list[tuple[date | None, float | None]] = []
    through = None
    for i, event_date in enumerate(table["event_date"]):
        while waiting and table["target_date"][waiting[0]] <= event_date:
            one = waiting.pop(0)
            model.learn(rows[one], table["label"][one])
            through = table["target_date"][one]
        value = float(model.predict(rows[i : i + 1])[0])
        made.append((through, None if np.isnan(value) else value))
    return made


def walked(task: Task, name: str, dataset: Dataset) -> list[tuple[date | None, float | None]]:
    predictions = walk(task, name, dataset, None).predictions
    return predictions.select("trained_through", "value").rows()


def test_a_walk_is_what_the_bare_model_does_row_by_row(
    chosen: tuple[Task, str], make_dataset: Callable[..., Dataset]
) -> None:
    task, name = chosen
    dataset = make_dataset(task, ROWS)

    assert walked(task, name, dataset) == by_hand(task, name, dataset)


def test_rows_without_a_label_are_predicted_in_their_place(
    chosen: tuple[Task, str], make_dataset: Callable[..., Dataset]
) -> None:
    task, name = chosen
    dataset = make_dataset(task, ROWS)
    unknown = pl.int_range(pl.len()).is_in([0, 20, 21, 40])
    gaps = dataset.table.with_columns(pl.when(unknown).then(None).otherwise(pl.col("label")).alias("label"))
    dataset = replace(dataset, table=gaps)

    assert walked(task, name, dataset) == by_hand(task, name, dataset)


def test_a_label_that_came_after_the_rows_own_date_is_not_known_to_it(
    chosen: tuple[Task, str], make_dataset: Callable[..., Dataset]
) -> None:
    """Targets three dates ahead: on a row's date the labels of the two rows before it are still to come."""
    task, name = chosen
    dataset = make_dataset(task, ROWS)
    far = pl.col("target_date").shift(-2)
    dataset = replace(dataset, table=dataset.table.with_columns(far).drop_nulls("target_date"))

    made = walked(task, name, dataset)

    assert made == by_hand(task, name, dataset)
    assert all(
        through is None or through <= event_date
        for (through, _), event_date in zip(made, dataset.table["event_date"], strict=True)
    )


def test_not_a_number_is_no_prediction_yet(chosen: tuple[Task, str], make_dataset: Callable[..., Dataset]) -> None:
    task, name = chosen
    learner = stored_learner_factory(task, name)()
    history = History.of(make_dataset(task, 2))
    (features, _) = history.named(history.rows)
    bare = stored_model(learner).model.predict(history.rows[:1])[0]

    said = learner.predict(features, DEFAULT_SERIES)

    assert said == (None if np.isnan(bare) else bare)


def test_steps_follow_from_each_other(airline: Task, spy: Task, make_dataset: Callable[..., Dataset]) -> None:
    for task, name in ((airline, "linear"), (spy, "river-logistic")):
        walked = walk(task, name, make_dataset(task, ROWS), None)
        assert walked.learner is not None
        model = walked.learner.model
        assert isinstance(model, StoredModel)
        history = History.of(make_dataset(task, ROWS))
        features = history.named(history.rows)[-1]

        first, second = model.forecast(features, DEFAULT_SERIES, 2)

        assert first == model.predict(features, DEFAULT_SERIES)
        assert (second == first) == task.is_classification


def test_whoever_is_refitted_has_no_learner(spy: Task) -> None:
    assert [name for name in spy.contenders if learns(spy, name)] == ["base-rate", "river-logistic"]


def test_a_log_is_named_by_what_its_rows_mean(airline: Task) -> None:
    name = dataset_log.name(airline, "airline")
    contenders = {"naive": airline.contenders["naive"]}

    same = airline.model_copy(update={"contenders": contenders, "scored_from": 99})
    other = airline.model_copy(update={"features": (*airline.features, Feature(transform="lag", parameters={"n": 13}))})

    assert name.startswith("airline/airline/")
    assert len(name) == len("airline/airline/") + 8
    assert dataset_log.name(same, "airline") == name
    assert dataset_log.name(airline, "other").rpartition("/")[0] == "airline/other"
    assert dataset_log.name(other, "airline") != name
    assert stored_learner_key(airline, "airline", "naive").log == name


def test_rows_go_into_a_log_after_its_newest_date_and_only_with_their_label(
    spy: Task, make_dataset: Callable[..., Dataset]
) -> None:
    dataset = make_dataset(spy, 5)
    history = History.of(dataset)
    second = dataset.table["target_date"][1]

    everything, rest = dataset_log.new_events(history, None), dataset_log.new_events(history, second)

    assert [draft.event_id for draft in everything] == [str(second + timedelta(days=i - 1)) for i in range(4)]
    assert everything[2:] == rest
    assert [draft.features for draft in everything] == dataset.table.select(dataset.feature_names).to_dicts()[:4]
