"""Contenders on the bundled data, against figures that others reached or anyone can compute."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from core.config.task_files import load_task
from features.dataset import Dataset, build
from ingestion.sources.samples import Airline, Sample
from tests.support.paths import TASKS
from training.backtest.walk_forward import walk
from training.evaluation import losses

NOW = datetime(2020, 1, 1, tzinfo=UTC)


def dataset(name: str, source: Sample | Airline) -> Dataset:
    received = source.fetch(None)
    fields = pl.DataFrame([row.fields for row in received])
    observations = fields.select(
        pl.Series("event_date", [row.stamp for row in received], dtype=pl.Date),
        pl.lit(NOW).alias("known_at"),
        *(pl.col(field).cast(pl.Float64) for field in fields.columns),
    )
    task = load_task(TASKS, name)
    return build(task, task.series, source.name, observations, NOW)


def metrics(data: Dataset, contender: str) -> dict[str, float]:
    """Of the walk from the task's `scored_from` on."""
    task = load_task(TASKS, data.task)
    table = data.table.slice(task.scored_from).filter(pl.col("label").is_not_null())
    values = walk(task, contender, data, None).predictions["value"].slice(task.scored_from, len(table))
    assert values.null_count() == 0
    return losses.metrics(task, table["label"].to_numpy(), values.to_numpy())


@pytest.fixture(scope="module")
def airline() -> Dataset:
    return dataset("airline", Airline(load_task(TASKS, "airline")))


@pytest.fixture(scope="module")
def spy() -> Dataset:
    return dataset("spy", Sample(load_task(TASKS, "spy")))


@pytest.mark.parametrize(
    ("contender", "mae"),
    [("naive", 28.42), ("seasonal-naive", 33.93), ("seasonal-growth", 10.04), ("holt-winters", 8.93)],
)
def test_forecasters_of_the_airline_reach_what_is_known_of_them(airline: Dataset, contender: str, mae: float) -> None:
    assert metrics(airline, contender)["mae"] == pytest.approx(mae, abs=0.005)


@pytest.mark.parametrize(
    ("contender", "at_most"), [("snarimax", 12.1), ("seasonal-ridge", 10.0), ("ridge", 15.0), ("linear", 20.0)]
)
def test_the_models_of_the_airline_are_as_good_as_such_models_get(
    airline: Dataset, contender: str, at_most: float
) -> None:
    assert metrics(airline, contender)["mae"] < at_most


@pytest.mark.parametrize("contender", ["logistic", "river-logistic"])
def test_nothing_beats_the_base_rate_of_the_index_by_as_much_as_a_leak_would(spy: Dataset, contender: str) -> None:
    base = metrics(spy, "base-rate")["brier"]
    found = metrics(spy, contender)["brier"]

    assert base == pytest.approx(0.24904, abs=5e-6)
    assert base - 0.001 < found < base + 0.003


def test_the_base_rate_of_the_index_is_the_share_of_days_that_rose(spy: Dataset) -> None:
    labels = spy.table["label"].drop_nulls().to_numpy()

    last = walk(load_task(TASKS, "spy"), "base-rate", spy, None).predictions["value"][-1]

    assert last == pytest.approx(labels.mean(), rel=1e-12)
    assert 0.5 < last < np.float64(0.56)
