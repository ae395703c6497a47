"""The features job, on real data in a real Postgres."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import Task
from core.db.pipeline_tables import datasets, runs
from core.errors import ConfigurationError, DataRefusedError, NotFoundError
from features import job, lake
from features.__main__ import main
from features.dataset import latest_row
from ingestion.store.observations import Observation, read_as_of
from tests.support.known_history import NOW, known_at, passengers, put, run_at, sp500


@pytest.fixture(scope="module")
def gspc() -> list[Observation]:
    return sp500(300)


@pytest.fixture
def spy(settings: Settings) -> Task:
    return load_task(settings.tasks, "spy")


def count(engine: sa.Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_labelled_rows_are_kept_apart_from_those_to_predict(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)

    report = run_at(settings, spy)

    folder = settings.lake / "spy" / report.data_hash
    assert sorted(path.name for path in folder.iterdir()) == ["predict.parquet", "train.parquet"]
    assert pl.read_parquet(folder / "train.parquet")["label"].null_count() == 0
    predict = pl.read_parquet(folder / "predict.parquet")
    assert predict["target_date"].to_list() == [date(2019, 1, 2)]
    assert predict["label"].to_list() == [None]


def test_a_second_run_finds_nothing_to_do(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    first = run_at(settings, spy)
    train = settings.lake / "spy" / first.data_hash / "train.parquet"
    written = train.stat().st_mtime_ns

    second = run_at(settings, spy, NOW + timedelta(days=1))

    assert second == replace(first, outcome="unchanged")
    assert second.sentence() == f"unchanged: {first.sentence()}"
    assert train.stat().st_mtime_ns == written
    assert (count(engine, datasets), count(engine, runs)) == (1, 1)
    assert lake.latest(settings, engine, "spy").as_of == known_at(date(2018, 12, 31))


def test_started_five_times_at_once_it_happens_once(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    start = threading.Barrier(5)

    def start_job(_: int) -> job.FeaturesReport:
        start.wait()
        return run_at(settings, spy)

    with ThreadPoolExecutor(5) as pool:
        reports = list(pool.map(start_job, range(5)))

    assert sorted(report.outcome for report in reports) == ["built"] + ["unchanged"] * 4
    assert len({report.data_hash for report in reports}) == 1
    assert (count(engine, datasets), count(engine, runs)) == (1, 1)


def test_without_ingestion_the_error_says_to_run_it(settings: Settings, engine: sa.Engine, spy: Task) -> None:
    for attempt in (
        lambda: run_at(settings, spy),
        lambda: lake.latest(settings, engine, "spy", NOW),
    ):
        with pytest.raises(NotFoundError, match="python -m ingestion --task spy"):
            attempt()


def test_standing_before_everything_that_is_known_there_is_nothing_to_build(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)

    with pytest.raises(NotFoundError, match="later --as-of"):
        run_at(settings, spy, datetime(2000, 1, 1, tzinfo=UTC))


def test_a_history_too_short_for_one_row_is_refused_and_nothing_is_stored(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc[:20])

    with pytest.raises(DataRefusedError, match=r"the 20 observations .* need 21 dates in a row"):
        run_at(settings, spy)

    assert (count(engine, datasets), count(engine, runs)) == (0, 0)


def test_a_task_whose_features_do_not_fit_its_series_is_a_matter_of_configuration(
    settings: Settings, engine: sa.Engine, spy: Task
) -> None:
    put(
        engine,
        [Observation(date(2018, 12, day), known_at(date(2018, 12, day)), {"value": 1.0}) for day in (27, 28, 31)],
    )

    with pytest.raises(ConfigurationError, match="range"):
        run_at(settings, spy)


def test_an_observation_on_a_day_without_a_session_is_counted_in_the_report(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    sunday = date(2018, 12, 30)
    put(engine, [*gspc, replace(gspc[-2], event_date=sunday, known_at=known_at(sunday))])

    first, second = (run_at(settings, spy) for _ in range(2))

    assert (first.ignored, first.rows) == (1, 280)
    assert first.sentence().endswith("observations on unexpected dates, left out: 1")
    assert second == replace(first, outcome="unchanged")


def test_airline_is_built_from_its_months(settings: Settings, engine: sa.Engine) -> None:
    airline = load_task(settings.tasks, "airline")
    months = passengers()
    put(engine, months, "airline", task="airline")

    report = run_at(settings, airline)
    table = lake.latest(settings, engine, "airline").table

    assert (report.rows, report.labelled) == (133, 132)
    assert table["label"].to_list()[:-1] == [month.fields["value"] for month in months[12:]]
    assert table.row(-1)[2:] == (*(month.fields["value"] for month in months[:-13:-1]), 1.0, None, None)
    row = latest_row(airline, read_as_of(engine, "airline", NOW))
    assert row is not None
    assert tuple(row.features.values()) == table.row(-1)[2:15]


def test_the_command_runs_the_job_and_its_exit_code_says_what_went_wrong(
    settings: Settings, engine: sa.Engine, gspc: list[Observation], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("home", "tasks", "database_url", "schema_name"):
        monkeypatch.setenv(f"CONTENDER_{name.upper()}", str(getattr(settings, name)))

    nothing_ingested = main(["--task", "spy"])
    put(engine, gspc[:20])
    too_short = main(["--task", "spy", "--as-of", "2018-12-31"])
    put(engine, gspc)
    built = main(["--task", "spy", "--as-of", "2019-01-05"])

    assert (nothing_ingested, too_short, built) == (42, 43, 0)
    assert lake.latest(settings, engine, "spy").table["event_date"][-1] == date(2018, 12, 31)
