from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import SourceOptions, Task
from core.errors import ConfigurationError, DataRefusedError, SourceUnreachableError
from core.jobs.clock import FixedClock
from ingestion.quality import check
from ingestion.sources.files import CsvFile, ParquetFile
from ingestion.sources.samples import Airline, Sample
from ingestion.store.observations import read_as_of
from tests.support.ingestion.days import run
from tests.support.ingestion.yahoo_stand_in import walk
from tests.support.paths import TASKS

BARS = walk(date(2024, 1, 2), date(2024, 5, 3))
NOW = FixedClock(datetime(2024, 6, 1, tzinfo=UTC))
COLUMNS = ("open", "high", "low", "close", "volume")


def task(location: Path | str, source: str = "csv", **options: str) -> Task:
    spy = load_task(TASKS, "spy")
    return spy.model_copy(
        update={"source": source, "source_options": SourceOptions(location=str(location), **options), "series": "MINE"}
    )


def months(location: Path | str, **options: str) -> Task:
    airline = load_task(TASKS, "airline")
    options = {"location": str(location)} | options
    return airline.model_copy(update={"source": "csv", "source_options": SourceOptions(**options)})


def frame(**more: object) -> pl.DataFrame:
    columns: dict[str, Any] = {"date": [bar.day for bar in BARS]}
    columns |= {name: [getattr(bar, name) for bar in BARS] for name in COLUMNS}
    return pl.DataFrame(columns | more)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server on a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_csv_file_is_stored_and_an_unchanged_one_is_not_read_again(
    settings: Settings, engine: sa.Engine, tmp_path: Path
) -> None:
    path = tmp_path / "bars.csv"
    frame().write_csv(path)

    first, second = run(settings, task(path), NOW), run(settings, task(path), NOW)
    frame().with_columns(close=pl.col("close") + 0.125).tail(1).write_csv(path)
    third = run(settings, task(path), NOW)

    assert (first.new, second.outcome, third.restated) == (len(BARS), "nothing new", 1)
    stored = read_as_of(engine, "MINE", NOW.now())
    assert stored.get_column("close").to_list() == [*(b.close for b in BARS[:-1]), BARS[-1].close + 0.125]
    assert set(stored.get_column("split")) == {1.0}


def test_a_parquet_file_gives_what_the_csv_file_gives(settings: Settings, tmp_path: Path) -> None:
    paid = [1.5 if index == 7 else 0.0 for index in range(len(BARS))]
    frame(dividends=paid).write_csv(tmp_path / "bars.csv")
    frame(dividends=paid).write_parquet(tmp_path / "bars.parquet")

    csv = CsvFile(settings, task(tmp_path / "bars.csv")).fetch(None)
    parquet = ParquetFile(settings, task(tmp_path / "bars.parquet", "parquet")).fetch(None)

    assert csv == parquet
    assert csv[7].fields == {**BARS[7].fields, "dividend": 1.5}


def test_columns_are_found_whatever_their_case(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    capital = frame().rename({"date": "Day", **{name: name.capitalize() for name in COLUMNS}})
    capital.with_columns(pl.lit(0.0).alias("Stock Splits"), pl.lit(1.0).alias("Adj Close")).write_csv(path)

    rows = CsvFile(settings, task(path, date_column="DAY")).fetch(None)

    assert [row.fields for row in rows] == [bar.fields for bar in BARS]


def test_the_three_header_rows_that_yfinance_writes_are_understood(settings: Settings, tmp_path: Path) -> None:
    head = "Price,Close,High,Low,Open,Volume\nTicker,SPY,SPY,SPY,SPY,SPY\nDate,,,,,\n"
    lines = [f"{b.day},{b.close},{b.high},{b.low},{b.open},{b.volume}\n" for b in BARS]
    (tmp_path / "spy.csv").write_text(head + "".join(lines))
    (tmp_path / "two.csv").write_text(head.replace("SPY\n", "IVV\n") + "".join(lines))

    rows = CsvFile(settings, task(tmp_path / "spy.csv")).fetch(None)

    assert [(row.stamp, row.fields) for row in rows] == [(bar.day, bar.fields) for bar in BARS]
    with pytest.raises(DataRefusedError, match="several tickers: IVV, SPY"):
        CsvFile(settings, task(tmp_path / "two.csv")).fetch(None)


@pytest.mark.parametrize(
    ("cells", "known"),
    [
        (["1950-01", "1950-02"], [5.0, 6.0]),
        (["1950-01-31", "1950-02-28"], [5.0, 6.0]),
        (["1950-01-01T00:00:00", "soon"], [5.0]),
    ],
)
def test_months_are_read_from_a_value_column(
    settings: Settings, engine: sa.Engine, tmp_path: Path, cells: list[str], known: list[float]
) -> None:
    path = tmp_path / "months.csv"
    pl.DataFrame({"month": cells, "sold": [5, 6]}).write_csv(path)

    run(settings, months(path, date_column="month", value_column="sold"), NOW)

    assert read_as_of(engine, "airline", NOW.now()).get_column("value").to_list() == known


def test_timestamps_of_the_exchanges_midnight_are_dates_and_those_of_utc_are_refused(
    settings: Settings, engine: sa.Engine, tmp_path: Path
) -> None:
    path = tmp_path / "bars.csv"
    midnights = frame().with_columns(pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("America/New_York"))
    midnights.with_columns(pl.col("date").dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%z")).write_csv(
        path
    )
    assert run(settings, task(path), NOW).last_date == BARS[-1].day

    frame().with_columns(pl.col("date").cast(pl.String) + "T00:00:00+00:00").write_csv(path)
    with pytest.raises(DataRefusedError, match="the dates seem shifted"):
        run(settings, task(path), NOW)
    assert read_as_of(engine, "MINE", NOW.now()).height == len(BARS)


def test_a_relative_path_counts_from_the_task_files(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    frame().write_csv(tmp_path / "tasks" / "bars.csv")
    here = settings.model_copy(update={"tasks": tmp_path / "tasks"})

    assert len(CsvFile(here, task("bars.csv")).fetch(None)) == len(BARS)


def test_a_file_that_is_not_there_or_lacks_columns_is_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv cannot be read: No such file"):
        CsvFile(settings, task(tmp_path / "none.csv")).fetch(None)
    path = tmp_path / "bars.csv"
    frame().drop("high").write_csv(path)
    with pytest.raises(DataRefusedError, match="has no column 'high'; it has date, open, low, close, volume"):
        CsvFile(settings, task(path)).fetch(None)
    with pytest.raises(DataRefusedError, match="is not a parquet file"):
        ParquetFile(settings, task(path, "parquet")).fetch(None)
    path.write_text("")
    with pytest.raises(DataRefusedError, match="is not a csv file"):
        CsvFile(settings, task(path)).fetch(None)


def test_a_file_with_a_header_only_is_refused(settings: Settings, tmp_path: Path) -> None:
    frame().clear().write_csv(tmp_path / "bars.csv")

    with pytest.raises(DataRefusedError, match="sent no rows"):
        run(settings, task(tmp_path / "bars.csv"), NOW)


def test_a_file_that_is_no_text_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_bytes(b"\x00\x01\xff\xfe")

    with pytest.raises(DataRefusedError, match="it is not text"):
        run(settings, task(tmp_path / "bars.csv"), NOW)


def test_a_row_that_is_too_long_is_told_in_our_words(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text("date,open\n2020-01-02,1\n2020-01-03,1,2\n")

    with pytest.raises(DataRefusedError, match=r"found more fields than defined in 'Schema'\. Correct the file"):
        run(settings, task(tmp_path / "bars.csv"), NOW)


def test_a_file_is_read_by_url_and_an_absent_one_is_told_from_a_silent_server(
    settings: Settings, tmp_path: Path
) -> None:
    frame().write_csv(tmp_path / "bars.csv")

    with served(tmp_path) as url:
        assert len(CsvFile(settings, task(f"{url}/bars.csv")).fetch(None)) == len(BARS)
        with pytest.raises(ConfigurationError, match="There is nothing at"):
            CsvFile(settings, task(f"{url}/none.csv")).fetch(None)
    with pytest.raises(SourceUnreachableError, match="did not answer"):
        CsvFile(settings, task(f"{url}/bars.csv")).fetch(None)
    assert len(CsvFile(settings, task(f"file://{tmp_path}/bars.csv")).fetch(None)) == len(BARS)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        CsvFile(settings, task("nosuchscheme://bars.csv")).fetch(None)


@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_whatever_bytes_a_file_holds_it_is_read_or_refused(settings: Settings, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bars"
    path.write_bytes(content)

    for kind in (CsvFile, ParquetFile):
        with pytest.raises(DataRefusedError):
            kind(settings, task(path)).fetch(None)


def test_every_bar_of_the_sample_passes_the_checks() -> None:
    spy = load_task(TASKS, "spy")

    checked = check(spy, Sample(spy).fetch(None), NOW.now())

    assert (len(checked.accepted), checked.quarantined, checked.not_final) == (5031, (), 0)
    assert checked.accepted[0].fields["close"] == pytest.approx(1228.099976)


def test_a_sample_of_another_frequency_than_the_tasks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one value a session"):
        Sample(load_task(TASKS, "airline"))
    with pytest.raises(ConfigurationError, match="counted by month"):
        Airline(load_task(TASKS, "spy"))
