"""A series as numbered observations: two that come with River, and any series of the observation store."""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.db.pipeline_tables import observations
from core.errors import ConfigurationError

Number = int | float
_COLUMNS = observations.c
_VALUE = sa.func.coalesce(_COLUMNS.fields["close"].as_float(), _COLUMNS.fields["value"].as_float())


@dataclass(frozen=True)
class StreamItem:
    """One observation of a stream: its date or its features, and the number that came true."""

    input: str | dict[str, float]
    target: Number


class StreamSeries:
    """A series whose observations are numbered from 1."""

    def __init__(self, items: Sequence[StreamItem]) -> None:
        self._items = items

    @property
    def total(self) -> int:
        """How many observations there are."""
        return len(self._items)

    def item(self, number: int) -> StreamItem:
        """The observation of a number."""
        return self._items[number - 1]


@cache
def airline() -> StreamSeries:
    """144 months, and the thousands of passengers in each: `river.datasets.AirlinePassengers`."""
    with _file("airline-passengers.csv").open(encoding="utf-8", newline="") as text:
        return StreamSeries(tuple(StreamItem(row["month"], int(row["passengers"])) for row in csv.DictReader(text)))


@cache
def phishing() -> StreamSeries:
    """1,250 web pages, and whether each is a phishing page, 1 or 0: `river.datasets.Phishing`."""
    with gzip.open(_file("phishing.csv.gz"), "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    return StreamSeries(tuple(StreamItem(_features(row), int(row["is_phishing"] == "1")) for row in rows))


def _features(row: dict[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name != "is_phishing"}


def _file(name: str) -> Path:
    # Found without an import of River, which would take seconds and 120 MB.
    found = find_spec("river")
    folders = found.submodule_search_locations if found is not None else None
    path = Path(next(iter(folders or ["river"]))) / "datasets" / name
    if not path.exists():
        raise ConfigurationError(f"The package river does not hold {path}.", "Install the locked requirements.")
    return path


def stored_series(connection: sa.Connection, name: str) -> StreamSeries:
    """A series of the store as it is known now: each date with its `close`, or else its `value`; empty when unknown.

    Dates are numbered in the order in which the store came to know them, and by date where that was at once. A gap that
    is mended later thus comes last: no number passes to another date when the store learns more.
    """

    def first(column: sa.Column[object]) -> sa.Over[object]:
        return sa.func.min(column).over(partition_by=_COLUMNS.event_date)

    known_since = sa.func.greatest(first(_COLUMNS.known_at), first(_COLUMNS.recorded_at))
    newest = (
        sa.select(_COLUMNS.event_date, _VALUE, known_since)
        .ext(distinct_on(_COLUMNS.event_date))
        .where(_COLUMNS.series == name, _COLUMNS.known_at <= sa.func.now(), _VALUE.is_not(None))
        .order_by(_COLUMNS.event_date, _COLUMNS.known_at.desc(), _COLUMNS.id.desc())
    )
    # A gap that is mended later comes last: a number never passes to another date.
    rows = sorted(connection.execute(newest), key=lambda row: (row[2], row[0]))
    return StreamSeries([StreamItem(event_date.isoformat(), plain(value)) for event_date, value, _ in rows])


def stored_names(connection: sa.Connection) -> list[str]:
    """The series of the store that have something to stream, sorted."""
    names = sa.select(_COLUMNS.series).where(_VALUE.is_not(None)).distinct().order_by(_COLUMNS.series)
    return list(connection.execute(names).scalars())


def plain(value: float) -> Number:
    """A number as a person writes it: without `.0` when it is whole.

    >>> plain(112.0), plain(0.5), plain(1e300)
    (112, 0.5, 1e+300)
    """
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
