"""Streams: each observation of a series is handed out once, to one of any number of clients.

How far a series has been handed out is a row of Postgres, locked for the moment of handing out. With a lease an
observation comes back when it was not acknowledged in time (`ingestion.stream.leases`), before anything new does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import connection as connection_of
from core.db.engine import transaction
from core.db.event_tables import streams
from core.errors import NotFoundError
from core.logs import get_log
from ingestion.stream import leases
from ingestion.stream.series import Number, StreamSeries, airline, phishing, stored_names, stored_series

DEFAULT = "airline"
BUNDLED = {"airline": airline, "phishing": phishing}
_LIVE = "live"
_NAMED = 20
_FRESH_SECONDS = 1.0


@dataclass(frozen=True)
class StreamedObservation:
    """An observation, and how many more can be handed out now."""

    observation_id: int
    input: str | dict[str, float]
    target: Number
    remaining: int


@dataclass(frozen=True)
class NothingAvailable:
    """There is nothing to hand out; `wait_seconds` until a lease may run out, None when none is open."""

    wait_seconds: int | None


@dataclass(frozen=True)
class StreamProgress:
    """How far a series has been handed out.

    `remaining` can be handed out now: what never was, and what came back overdue. `completed`: nothing remains, and no
    lease is open.
    """

    current_index: int
    total_observations: int
    remaining: int
    completed: bool


class Stream:
    """The streams of all series, in a database that any number of processes share."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._read: dict[str, tuple[float, StreamSeries]] = {}

    def next(
        self, name: str, *, lease_seconds: int | None = None, task: str | None = None, in_order: bool = False
    ) -> StreamedObservation | NothingAvailable:
        """Hands out the smallest overdue observation, or else the next new one; `in_order`, none while one is leased.

        It is acknowledged in the log of `task`, by default the pushed task that the series is for.
        Raises NotFoundError for an unknown series, DatabaseUnreachableError when Postgres does not answer.
        """
        with transaction(self._engine) as connection:
            series = self._series(connection, name)
            position = _locked_position(connection, name)
            overdue = leases.overdue(connection, name)
            if in_order and not overdue and (open_for := leases.seconds_to_next(connection, name)) is not None:
                return NothingAvailable(open_for)
            number = overdue[0] if overdue else position + 1
            if number > series.total:
                # Observations may have come within the second for which the series is cached.
                series = self._series(connection, name, reload=True)
            if number > series.total:
                return NothingAvailable(leases.seconds_to_next(connection, name))
            if number > position:
                position = number
                connection.execute(sa.update(streams).where(streams.c.series == name).values(position=position))
            if lease_seconds is not None:
                leases.grant(connection, name, number, task or _task_of(name), lease_seconds)
            elif overdue:
                leases.settle(connection, name, [number])
            remaining = max(0, series.total - position) + len(overdue[1:])
        item = series.item(number)
        return StreamedObservation(number, item.input, item.target, remaining)

    def reset(self, name: str) -> StreamProgress:
        """Lets a series begin again at its first observation, without any lease."""
        with transaction(self._engine) as connection:
            series = self._series(connection, name)
            _locked_position(connection, name)
            restart = sa.update(streams).where(streams.c.series == name)
            connection.execute(restart.values(position=0, generation=streams.c.generation + 1))
            leases.clear(connection, name)
        get_log("ingestion").info("A stream begins again.", series=name)
        return StreamProgress(0, series.total, series.total, series.total == 0)

    def status(self, name: str) -> StreamProgress:
        """How far a series has been handed out."""
        with connection_of(self._engine) as connection:
            series = self._series(connection, name, reload=True)
            position = sa.select(streams.c.position).where(streams.c.series == name).scalar_subquery()
            handed_out, waiting, overdue = connection.execute(
                sa.select(sa.func.coalesce(position, 0), *leases.unacknowledged(name))
            ).one()
        remaining = max(0, series.total - handed_out) + overdue
        return StreamProgress(handed_out, series.total, remaining, remaining + waiting == 0)

    def _series(self, connection: sa.Connection, name: str, *, reload: bool = False) -> StreamSeries:
        """A series, cached for a second: the numbers of its observations never change, new ones are only added."""
        if name in BUNDLED:
            return BUNDLED[name]()
        read_at, series = self._read.get(name, (0.0, None))
        if series is None or reload or monotonic() - read_at > _FRESH_SECONDS:
            series = stored_series(connection, name)
            if series.total == 0:
                raise _unknown(connection, name)
            self._read[name] = monotonic(), series
        return series


def acknowledging_task(series: str, task: str | None, known: Sequence[str]) -> str:
    """The pushed task whose log acknowledges what is leased of a series: the one that is named, or that it is for.

    Raises NotFoundError when it is not among those known: nothing would ever acknowledge the lease.

    >>> acknowledging_task("airline", None, ["live", "phishing"])
    'live'
    >>> acknowledging_task("phishing", None, ["live", "phishing"])
    'phishing'
    """
    task = task or _task_of(series)
    if task not in known:
        raise NotFoundError(
            f"There is no task {task!r} to which rows are pushed.",
            f"?task= names one of: {', '.join(known) or 'none'}.",
        )
    return task


def _task_of(series: str) -> str:
    """The pushed task that a series is for."""
    return series if series == "phishing" else _LIVE


def _unknown(connection: sa.Connection, name: str) -> NotFoundError:
    known = [*BUNDLED, *(other for other in stored_names(connection) if other not in BUNDLED)]
    shown = ", ".join(known[:_NAMED]) + (", …" if len(known) > _NAMED else "")
    return NotFoundError(f"There is no series {name!r} to stream.", f"Known series: {shown}.")


def _locked_position(connection: sa.Connection, name: str) -> int:
    """How many observations were handed out. Locks the row: another request waits until this transaction ends."""
    locked = sa.select(streams.c.position).where(streams.c.series == name).with_for_update()
    position: int | None = connection.execute(locked).scalar_one_or_none()
    if position is None:
        # Another request may add the row first: the select below then waits for it.
        connection.execute(insert(streams).values(series=name, position=0).on_conflict_do_nothing())
        return int(connection.execute(locked).scalar_one())
    return position
