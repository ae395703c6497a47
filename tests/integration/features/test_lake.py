"""The lake: datasets as they were known, exactly as they were built."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import Feature, Task
from core.errors import IntegrityError, NotFoundError
from features import lake
from features.dataset import build
from ingestion.store.observations import Observation, read_as_of
from tests.support.known_history import NOW, known_at, put, restated, run_at, sp500


@pytest.fixture(scope="module")
def gspc() -> list[Observation]:
    return sp500(300)


@pytest.fixture
def spy(settings: Settings) -> Task:
    return load_task(settings.tasks, "spy")


def test_the_job_builds_what_is_known_and_the_lake_gives_it_back_exactly(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)

    report = run_at(settings, spy)
    dataset = lake.latest(settings, engine, "spy", NOW)

    expected = build(spy, "GSPC", "sample", read_as_of(engine, "GSPC", NOW), known_at(date(2018, 12, 31)))
    assert (report.outcome, report.rows, report.labelled, report.ignored) == ("built", 280, 279, 0)
    assert report.last_date == date(2018, 12, 31)
    assert report.data_hash in report.sentence()
    assert dataset == expected
    assert dataset.table.schema == expected.table.schema
    assert dataset.table.equals(expected.table)
    assert lake.latest(settings, engine, "spy") == dataset


def test_an_as_of_run_sees_only_what_was_known_then(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    friday = known_at(date(2018, 12, 28))

    then = run_at(settings, spy, friday)
    now = run_at(settings, spy)

    assert then.last_date == date(2018, 12, 28)
    assert then.data_hash != now.data_hash
    assert lake.latest(settings, engine, "spy", friday).data_hash == then.data_hash
    assert lake.latest(settings, engine, "spy", NOW).data_hash == now.data_hash
    assert lake.latest(settings, engine, "spy").data_hash == now.data_hash
    with pytest.raises(NotFoundError, match="python -m features --task spy"):
        lake.latest(settings, engine, "spy", friday - timedelta(seconds=1))


def test_a_dataset_is_found_from_the_moment_its_data_were_known_whenever_it_was_built(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    built = run_at(settings, spy)
    evening = known_at(date(2018, 12, 31))

    dataset = lake.latest(settings, engine, "spy", evening)

    assert (dataset.data_hash, dataset.as_of) == (built.data_hash, evening)


def test_a_gap_mended_later_makes_a_newer_dataset_and_what_was_known_before_stays(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, [*gspc[:100], *gspc[101:]])
    holed = run_at(settings, spy)
    tomorrow = NOW + timedelta(days=1)
    put(engine, [gspc[100]], fetched_at=tomorrow)

    mended = run_at(settings, spy, tomorrow)
    earlier = run_at(settings, spy)

    assert mended.rows == holed.rows + 21
    assert earlier == replace(holed, outcome="unchanged")
    assert lake.latest(settings, engine, "spy", tomorrow).data_hash == mended.data_hash


def test_a_restatement_makes_another_dataset_and_the_old_one_stays(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    before = run_at(settings, spy)
    kept = lake.latest(settings, engine, "spy", NOW)
    put(engine, [restated(gspc[150], close=gspc[150].fields["close"] * 1.01)], fetched_at=NOW + timedelta(days=1))

    after = run_at(settings, spy, NOW + timedelta(days=2))
    again = run_at(settings, spy)

    assert after.data_hash != before.data_hash
    assert again == replace(before, outcome="unchanged")
    assert lake.latest(settings, engine, "spy", NOW).table.equals(kept.table)
    restatement = lake.latest(settings, engine, "spy").table
    unmoved = pl.col("target_date") < gspc[150].event_date
    assert restatement.filter(unmoved).equals(kept.table.filter(unmoved))
    assert not restatement.equals(kept.table)


def test_a_dividend_or_a_split_of_today_leaves_every_earlier_row_as_it_was(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc[:-1])
    before = lake_after(settings, engine, spy)
    last = gspc[-1]
    halved = {name: last.fields[name] / 2 for name in ("open", "high", "low", "close")}
    put(engine, [restated(last, **halved, volume=last.fields["volume"] * 2, dividend=0.5, split=2.0)])

    after = lake_after(settings, engine, spy)

    features = before.columns[:-2]
    assert len(after) == len(before) + 1
    assert after[:-1][features].equals(before[features])
    assert after["return_1"][-1] == pytest.approx((last.fields["close"] + 1) / gspc[-2].fields["close"] - 1, rel=1e-9)


def lake_after(settings: Settings, engine: sa.Engine, task: Task) -> pl.DataFrame:
    run_at(settings, task)
    return lake.latest(settings, engine, task.name).table


def test_a_series_of_its_own_never_meets_another(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    sample = run_at(settings, spy)
    put(engine, [replace(row, known_at=row.known_at + timedelta(hours=1)) for row in gspc], series="SPY")

    with pytest.raises(NotFoundError, match="series SPY"):
        lake.latest(settings, engine, "spy", NOW)
    fund = run_at(settings, spy)

    assert (sample.series, fund.series) == ("GSPC", "SPY")
    assert lake.latest(settings, engine, "spy", NOW).series == "SPY"


def test_the_same_data_under_another_series_is_another_dataset(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    first = run_at(settings, spy)
    put(engine, gspc, series="SPY")

    assert run_at(settings, spy).data_hash != first.data_hash


def test_a_task_file_changed_and_changed_back_has_its_first_dataset_again(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    with_month = spy.model_copy(update={"features": (*spy.features, Feature(transform="month"))})

    first = run_at(settings, spy)
    changed = run_at(settings, with_month, NOW + timedelta(hours=1))
    assert lake.latest(settings, engine, "spy").data_hash == changed.data_hash
    back = run_at(settings, spy, NOW + timedelta(hours=2))

    assert back == replace(first, outcome="unchanged")
    assert lake.latest(settings, engine, "spy").data_hash == first.data_hash


def test_lost_files_are_told_with_a_remedy_and_the_next_run_builds_them_anew(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    first = run_at(settings, spy)
    table = lake.latest(settings, engine, "spy").table
    (settings.lake / "spy" / first.data_hash / "predict.parquet").unlink()

    with pytest.raises(NotFoundError, match="python -m features --task spy --as-of 2018-12-31T22:00:00"):
        lake.latest(settings, engine, "spy")
    again = run_at(settings, spy)

    assert again == first
    assert lake.latest(settings, engine, "spy").table.equals(table)


@pytest.mark.parametrize("spoil", [lambda content: content[: len(content) // 2], lambda content: b""])
def test_spoilt_files_are_refused_and_the_next_run_builds_them_anew(
    settings: Settings,
    engine: sa.Engine,
    spy: Task,
    gspc: list[Observation],
    spoil: Callable[[bytes], bytes],
) -> None:
    put(engine, gspc)
    first = run_at(settings, spy)
    train = settings.lake / "spy" / first.data_hash / "train.parquet"
    train.write_bytes(spoil(train.read_bytes()))

    with pytest.raises(IntegrityError, match="python -m features --task spy"):
        lake.latest(settings, engine, "spy")

    assert run_at(settings, spy) == first
    assert lake.latest(settings, engine, "spy").data_hash == first.data_hash


def test_files_that_hold_other_rows_than_recorded_are_refused(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    first = run_at(settings, spy)
    train = settings.lake / "spy" / first.data_hash / "train.parquet"
    pl.read_parquet(train)[1:].write_parquet(train)

    with pytest.raises(IntegrityError, match="do not hold the rows"):
        lake.latest(settings, engine, "spy")
