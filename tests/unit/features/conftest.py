"""Tasks and made-up markets for the tests of features."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time

import polars as pl
import pytest

from core.config.task_files import load_task
from core.config.tasks import Feature, Task
from core.jobs import calendars
from tests.support.paths import TASKS

Bars = Callable[..., pl.DataFrame]


@pytest.fixture(scope="session")
def spy() -> Task:
    return load_task(TASKS, "spy")


@pytest.fixture(scope="session")
def airline() -> Task:
    return load_task(TASKS, "airline")


@pytest.fixture(scope="session")
def declare(spy: Task) -> Callable[..., Task]:
    """The spy task with other features: declare("range", ("return", 2))."""

    def make(*features: str | tuple[str, object]) -> Task:
        declared = tuple(
            Feature(transform=feature)
            if isinstance(feature, str)
            else Feature.model_validate({"transform": feature[0], "parameters": {"n": feature[1]}})
            for feature in features
        )
        return spy.model_copy(update={"features": declared})

    return make


@pytest.fixture(scope="session")
def bars(spy: Task) -> Bars:
    """Raw bars on consecutive sessions: bars([100.0, 101.0], split=[1.0, 2.0]); a close of None is no bar at all."""

    def make(close: Sequence[float | None], first: date = date(2015, 1, 5), **fields: Sequence[float]) -> pl.DataFrame:
        days = calendars.expected_dates(spy, first, date(2016, 12, 30))[: len(close)]
        frame = pl.DataFrame(
            {
                "event_date": days,
                "known_at": [datetime.combine(day, time(21), tzinfo=UTC) for day in days],
                "close": close,
            },
            schema_overrides={"known_at": pl.Datetime("us", "UTC"), "close": pl.Float64},
        )
        usual = {"dividend": 0.0, "split": 1.0, "volume": 1000.0, "high": pl.col("close"), "low": pl.col("close")}
        frame = frame.with_columns(**{name: pl.lit(v) if isinstance(v, float) else v for name, v in usual.items()})
        frame = frame.with_columns(pl.Series(name, values, dtype=pl.Float64) for name, values in fields.items())
        return frame.filter(pl.col("close").is_not_null())

    return make


@pytest.fixture(scope="session")
def months() -> Bars:
    """Values of consecutive months from January 2000 on."""

    def make(values: Sequence[float]) -> pl.DataFrame:
        dates = [date(2000 + month // 12, 1 + month % 12, 1) for month in range(len(values))]
        frame = pl.DataFrame({"event_date": dates, "value": values}, schema_overrides={"value": pl.Float64})
        known_at = pl.col("event_date").dt.offset_by("1mo").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        return frame.select("event_date", known_at.alias("known_at"), "value")

    return make
