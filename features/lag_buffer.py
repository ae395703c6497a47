"""Lag buffers in Postgres: each added value is answered with the values before it, also under concurrent requests."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, insert

from core.db.engine import fetch_one, fetch_scalar, transaction
from core.db.event_tables import lag_series
from core.errors import NotFoundError

# How many values a series keeps, also where N_LAGS asks for fewer today: a larger N_LAGS then finds them.
MOST_LAGS = 1000
_COLUMNS = lag_series.c


@dataclass(frozen=True)
class LaggedValue:
    """A value, and the values before it as features."""

    features: dict[str, float]
    target: float
    available_lags: int


@dataclass(frozen=True)
class SeriesBuffer:
    """What is kept of a series: how many values were ever added, and the newest of them, newest last."""

    series_id: str
    count: int
    values: list[float]


class LagBuffers:
    """The buffers of all series, in a database that any number of processes share."""

    def __init__(self, engine: sa.Engine, n_lags: int) -> None:
        self._engine = engine
        self._add = _addition(n_lags)
        self.n_lags = n_lags

    def add(self, series_id: str, value: float) -> LaggedValue:
        """Adds a value; its lags are those that were there before it.

        Raises DatabaseUnreachableError when Postgres does not answer; whether the value was added is then unknown.
        """
        with transaction(self._engine) as connection:
            # One statement, which locks the row of the series: of several values added at once each sees those before
            # it.
            newest = connection.execute(self._add, {"series_id": series_id, "value": value}).scalar_one()
        features = lags([float(number) for number in newest[:-1]], self.n_lags)
        return LaggedValue(features, value, len(features))

    def series(self, series_id: str) -> SeriesBuffer:
        """What is kept of a series. Raises NotFoundError when nothing was ever added."""
        kept = sa.select(_COLUMNS.count, _COLUMNS.recent).where(_COLUMNS.series_id == series_id)
        row = fetch_one(self._engine, kept)
        if row is None:
            raise NotFoundError("There is no series of that series_id.", "A first value makes one: POST /add.")
        count, recent = tuple(row)  # by position: `count` is a method of the row
        return SeriesBuffer(series_id, count, [float(number) for number in recent[-MOST_LAGS:]])

    def count(self) -> int:
        """How many series there are."""
        number: int = fetch_scalar(self._engine, sa.select(sa.func.count()).select_from(lag_series))
        return number


def lags(before: Sequence[float], n_lags: int) -> dict[str, float]:
    """The lags of a value as features: `in_1` is the one just before it, up to `in_<n_lags>`. `before`: newest last.

    >>> lags([112.0, 118.0, 132.0], 2)
    {'in_1': 132.0, 'in_2': 118.0}
    >>> lags([], 2)
    {}
    """
    return {f"in_{number}": before[-number] for number in range(1, min(n_lags, len(before)) + 1)}


def _addition(n_lags: int) -> sa.Executable:
    """The statement that adds a value and returns it with up to `n_lags` before it.

    One more than MOST_LAGS is kept: the value itself, and the lags it was answered with.
    """
    value = sa.cast(sa.bindparam("value", type_=sa.Float), sa.Double)
    first = sa.func.jsonb_build_array(value, type_=JSONB)
    is_full = sa.func.jsonb_array_length(_COLUMNS.recent) > MOST_LAGS
    kept = sa.case((is_full, _COLUMNS.recent.op("-")(sa.literal_column("0"))), else_=_COLUMNS.recent)
    new = insert(lag_series).values(series_id=sa.bindparam("series_id"), count=1, recent=first)
    merged = new.on_conflict_do_update(
        index_elements=[_COLUMNS.series_id],
        set_={
            "count": _COLUMNS.count + 1,
            "recent": kept.op("||")(new.excluded.recent),
            "updated_at": sa.func.now(),
        },
    )
    path = sa.cast(sa.literal(f"$[last - {n_lags} to last]"), JSONPATH)
    return merged.returning(sa.func.jsonb_path_query_array(_COLUMNS.recent, path, type_=JSONB))
