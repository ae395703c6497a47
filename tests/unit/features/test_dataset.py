from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import polars as pl
import pytest

from core.config.tasks import Feature, Target, Task
from features.calendar_frame import on_calendar
from features.dataset import DatasetRow, build, dataset_hash, declaration_hash, features_hash, latest_row, lookback

Make = Callable[..., pl.DataFrame]
Declare = Callable[..., Task]
AS_OF = datetime(2017, 1, 1, tzinfo=UTC)


def table(task: Task, frame: pl.DataFrame) -> pl.DataFrame:
    return build(task, "S", "test", frame, AS_OF).table


def test_a_row_holds_the_features_of_its_date_and_the_label_of_the_next_session(spy: Task, bars: Make) -> None:
    frame = bars([100.0 + i % 3 for i in range(25)])

    dataset = build(spy, "GSPC", "sample", frame, AS_OF)

    assert (dataset.task, dataset.series, dataset.source, dataset.as_of) == ("spy", "GSPC", "sample", AS_OF)
    assert dataset.table.columns == [
        "event_date",
        "target_date",
        *dataset.feature_names,
        "label",
        "label_known_at",
    ]
    assert dataset.table["event_date"].to_list() == frame["event_date"].to_list()[20:]
    assert dataset.table["target_date"].to_list()[:-1] == frame["event_date"].to_list()[21:]
    assert dataset.table["label"].to_list() == [0.0, 1.0, 1.0, 0.0, None]
    assert dataset.table.schema["label_known_at"] == pl.Datetime("us", "UTC")
    assert all(dataset.table.schema[name] == pl.Float64 for name in (*dataset.feature_names, "label"))


def test_friday_is_answered_on_monday_and_the_day_before_a_holiday_after_it(declare: Declare, bars: Make) -> None:
    targets = dict(table(declare("range"), bars([100.0] * 10, first=date(2015, 1, 12))).select(pl.nth(0, 1)).rows())

    assert targets[date(2015, 1, 15)] == date(2015, 1, 16)
    assert targets[date(2015, 1, 16)] == date(2015, 1, 20), "Monday the 19th was Martin Luther King Day"


def test_the_months_row_is_what_the_contract_with_the_models_says(airline: Task, months: Make) -> None:
    rows = table(airline, months([float(100 + i) for i in range(14)]))

    assert rows["event_date"].to_list() == [date(2000, 12, 1), date(2001, 1, 1), date(2001, 2, 1)]
    assert rows["target_date"].to_list() == [date(2001, 1, 1), date(2001, 2, 1), date(2001, 3, 1)]
    assert rows.row(0)[2:16] == (*(111.0 - i for i in range(12)), 1.0, 112.0)
    assert rows["label"].to_list() == [112.0, 113.0, None]


@pytest.mark.parametrize("count", [0, 1, 20])
def test_a_history_that_is_too_short_has_no_rows(spy: Task, bars: Make, count: int) -> None:
    frame = bars([100.0] * count)

    dataset = build(spy, "S", "test", frame, AS_OF)

    assert dataset.table.is_empty()
    assert dataset.table.schema == table(spy, bars([100.0] * 30)).schema
    assert latest_row(spy, frame) is None


def test_the_first_row_comes_with_the_last_observation_that_it_needs(spy: Task, bars: Make) -> None:
    assert lookback(spy) == 21
    assert len(table(spy, bars([100.0] * 21))) == 1
    assert latest_row(spy, bars([100.0] * 21)) is not None


def test_a_missing_session_takes_away_every_row_that_looks_at_it_and_no_other(declare: Declare, bars: Make) -> None:
    task = declare(("return", 2))
    whole = bars([100.0, 101.0, 103.0, 102.0, 105.0, 104.0, 107.0, 106.0])
    holed = whole.filter(pl.col("event_date") != whole["event_date"][3])

    rows, undisturbed = table(task, holed), table(task, whole)

    kept = [whole["event_date"][i] for i in (2, 6, 7)]
    features = ["event_date", "target_date", "return_2"]
    assert rows["event_date"].to_list() == kept
    assert rows.select(features).equals(undisturbed.filter(pl.col("event_date").is_in(kept)).select(features))
    assert rows["label"].to_list() == [None, 0.0, None], "the label of the row before the gap is unknown"


def test_the_newest_row_is_absent_while_its_window_has_a_gap(declare: Declare, bars: Make) -> None:
    """An older row would answer for a date that has passed."""
    task = declare(("return", 2))

    assert latest_row(task, bars([100.0, 101.0, 102.0, None, 104.0])) is None
    assert latest_row(task, bars([100.0, 101.0, None, 104.0, 105.0, 106.0])) is not None


def test_observations_on_dates_without_a_session_take_no_part(spy: Task, bars: Make) -> None:
    frame = bars([100.0 + i % 5 for i in range(40)])
    saturday = frame[10].with_columns(event_date=pl.lit(date(2015, 1, 24)), close=pl.lit(1e6))
    with_saturday = pl.concat([frame, saturday]).sort("event_date")
    sunday_last = pl.concat([frame, saturday.with_columns(event_date=pl.lit(date(2016, 1, 3)))])

    assert len(on_calendar(spy, with_saturday)) == 40
    assert table(spy, with_saturday).equals(table(spy, frame))
    assert table(spy, sunday_last)["label"].null_count() == 1
    assert latest_row(spy, with_saturday) == latest_row(spy, frame)


def test_a_row_of_zero_volume_is_absent_not_filled(declare: Declare, bars: Make) -> None:
    rows = table(declare("volume_change"), bars([100.0] * 5, volume=[5.0, 6.0, 0.0, 7.0, 8.0]))

    assert rows["event_date"].to_list() == [date(2015, 1, 6), date(2015, 1, 9)]


def test_the_latest_row_names_its_features_and_their_hash(declare: Declare, bars: Make) -> None:
    task = declare("range", "day_of_week")

    row = latest_row(task, bars([100.0, 50.0], high=[100.0, 52.0]))

    features = {"range": 0.04, "day_of_week": 1.0}
    assert row == DatasetRow(date(2015, 1, 6), date(2015, 1, 7), features, features_hash(features))


def test_the_hash_of_features_sees_the_last_bit_the_names_and_their_order() -> None:
    known = features_hash({"a": 0.1, "b": 2.0})

    assert known == features_hash({"a": 0.1, "b": 2.0})
    assert len({known, features_hash({"a": 0.1 + 1.4e-17, "b": 2.0})}) == 2
    assert len({known, features_hash({"b": 2.0, "a": 0.1}), features_hash({"a": 0.1, "c": 2.0})}) == 3


def test_the_data_hash_stands_for_the_observations_the_series_and_the_declaration(spy: Task, bars: Make) -> None:
    frame = bars([100.0 + i % 3 for i in range(30)])
    more = spy.model_copy(update={"features": (*spy.features, Feature(transform="month"))})
    value = spy.model_copy(update={"target": Target(kind="value")})

    hashes = [
        dataset_hash(spy, "GSPC", frame),
        dataset_hash(spy, "SPY", frame),
        dataset_hash(spy, "GSPC", frame[:-1]),
        dataset_hash(spy, "GSPC", frame.with_columns(pl.col("close") * (1 + 1e-15))),
        dataset_hash(more, "GSPC", frame),
        dataset_hash(value, "GSPC", frame),
    ]

    assert len(set(hashes)) == len(hashes)
    assert hashes[0] == build(spy, "GSPC", "sample", frame, AS_OF).data_hash


def test_what_does_not_shape_the_table_does_not_change_its_hash(spy: Task, bars: Make) -> None:
    frame = bars([100.0] * 30)
    fewer = spy.model_copy(update={"contenders": {}, "title": "", "target": Target(kind="direction", threshold=0.9)})

    assert dataset_hash(fewer, "GSPC", frame) == dataset_hash(spy, "GSPC", frame)
    assert declaration_hash(fewer) == declaration_hash(spy)


def test_build_leaves_its_argument_alone_and_says_the_same_twice(spy: Task, bars: Make) -> None:
    frame = bars([100.0 + i % 7 for i in range(60)])
    before = frame.clone()

    first, second = (build(spy, "GSPC", "sample", frame, AS_OF) for _ in range(2))

    assert frame.equals(before)
    assert first == second
    assert first.table.equals(second.table)
    assert first != replace(second, as_of=datetime(2018, 1, 1, tzinfo=UTC))
