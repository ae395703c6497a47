"""The features of spy against SQL on twenty years of real bars, to which dividends and a split were added."""

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from core.config.task_files import load_task
from core.config.tasks import Task
from features.dataset import build, features_hash, latest_row, lookback
from ingestion.store.observations import read_as_of, record
from tests.support.known_history import NOW, restated, sp500
from tests.support.paths import TASKS

SPLIT_AT = 3000

ORACLE = """
WITH bars AS (
    SELECT event_date,
        (fields->>'close')::float8 AS close, (fields->>'high')::float8 AS high, (fields->>'low')::float8 AS low,
        (fields->>'volume')::float8 AS volume, (fields->>'dividend')::float8 AS dividend,
        (fields->>'split')::float8 AS split
    FROM observations WHERE series = 'X'
), daily AS (
    SELECT *, row_number() OVER dates AS place, split * (close + dividend) / lag(close) OVER dates AS growth,
        ln(volume) - ln(lag(volume) OVER dates) - ln(split) AS volume_change
    FROM bars WINDOW dates AS (ORDER BY event_date)
), indexed AS (
    SELECT *, exp(sum(ln(coalesce(growth, 1))) OVER (ORDER BY event_date)) AS level FROM daily
), features AS (
    SELECT event_date, place,
        level / lag(level, 1) OVER dates - 1 AS return_1, level / lag(level, 2) OVER dates - 1 AS return_2,
        level / lag(level, 3) OVER dates - 1 AS return_3, level / lag(level, 5) OVER dates - 1 AS return_5,
        level / avg(level) OVER (dates ROWS 2 PRECEDING) - 1 AS ma_ratio_3,
        level / avg(level) OVER (dates ROWS 4 PRECEDING) - 1 AS ma_ratio_5,
        level / avg(level) OVER (dates ROWS 19 PRECEDING) - 1 AS ma_ratio_20,
        stddev_samp(growth - 1) OVER (dates ROWS 2 PRECEDING) AS volatility_3,
        stddev_samp(growth - 1) OVER (dates ROWS 19 PRECEDING) AS volatility_20,
        (high - low) / close AS range, volume_change, extract(isodow FROM event_date)::float8 - 1 AS day_of_week,
        lead(CASE WHEN growth > 1 THEN 1.0 ELSE 0.0 END) OVER dates AS label,
        lead(event_date) OVER dates AS target_date
    FROM indexed WINDOW dates AS (ORDER BY event_date)
)
SELECT * FROM features WHERE place > 20 ORDER BY event_date
"""


@pytest.fixture(scope="module")
def spy() -> Task:
    return load_task(TASKS, "spy")


@pytest.fixture
def history(engine: sa.Engine) -> pl.DataFrame:
    """The S&P 500 index with a dividend every quarter and one 2:1 split, through the store."""
    rows = []
    for place, bar in enumerate(sp500(5031)):
        divisor = 2.0 if place >= SPLIT_AT else 1.0
        prices = {name: bar.fields[name] / divisor for name in ("open", "high", "low", "close")}
        rows.append(
            restated(
                bar,
                **prices,
                volume=bar.fields["volume"] * divisor,
                dividend=0.005 * prices["close"] if place % 63 == 62 else 0.0,
                split=2.0 if place == SPLIT_AT else 1.0,
            )
        )
    with engine.begin() as connection:
        record(connection, "X", "sample", rows, NOW)
    return read_as_of(engine, "X", NOW)


def test_every_feature_and_label_is_what_sql_reckons(engine: sa.Engine, spy: Task, history: pl.DataFrame) -> None:
    dataset = build(spy, "X", "sample", history, NOW)

    with engine.connect() as connection:
        reckoned = connection.execute(sa.text(ORACLE)).mappings().all()

    table = dataset.table
    assert table["event_date"].to_list() == [row["event_date"] for row in reckoned]
    assert table["label"].to_list() == [row["label"] for row in reckoned]
    assert table["target_date"].to_list()[:-1] == [row["target_date"] for row in reckoned[:-1]]
    for name in dataset.feature_names:
        np.testing.assert_allclose(table[name].to_numpy(), [row[name] for row in reckoned], rtol=1e-8, atol=1e-11)


def test_the_latest_row_of_any_day_in_twenty_years_is_builds_row_to_the_bit(spy: Task, history: pl.DataFrame) -> None:
    dataset = build(spy, "X", "sample", history, NOW)
    table = dataset.table
    places = [*range(21, len(history) + 1, 157), SPLIT_AT, SPLIT_AT + 1, SPLIT_AT + 2, len(history)]

    for place in places:
        row = latest_row(spy, history[:place].tail(lookback(spy)))
        built = table.row(place - 21, named=True)

        assert row is not None
        assert row.event_date == built["event_date"]
        assert row.features_hash == features_hash({name: built[name] for name in dataset.feature_names})
