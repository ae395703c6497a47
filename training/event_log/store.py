"""The event log in Postgres: appended in groups, in one order per log without a gap, read in blocks.

A group costs one transaction, however many writers share it: it takes the log's lock, looks up its ids, numbers what
is new, and ends in one COMMIT with one NOTIFY. The lock is held by the transaction, so a number is
visible exactly when all smaller ones are.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg2
import sqlalchemy as sa

from core.error_translation import translate
from features.arrays import FeatureRow
from training.event_log.events import Event, NewEvent
from training.event_log.idempotency import AppendPlan, known_by_id, plan_append

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 (psycopg2 names its class so)

# Events of one read: large enough that a round trip costs little, small enough to hold in memory.
BLOCK = 2_000

# An advisory lock: a row with a counter, locked by 8 writers, brought 4,000 commits a second down to 350. Its name has
# the schema, since such locks belong to the whole database.
_LOCK = """
BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/events/' || %(log)s, 0));
"""
_KNOWN = """
SELECT json_agg(json_build_array(event_id, seq, features, target))::text
FROM events WHERE log = %(log)s AND event_id = ANY(%(ids)s)
"""
_HEAD_AND_KNOWN = f"SELECT (SELECT coalesce(max(seq), 0) FROM events WHERE log = %(log)s), ({_KNOWN})"  # noqa: S608
# Columns as texts with a line for each row (half the time of JSON with every key in every row), numbered by the
# database where nothing has to be looked up first: a whole group then costs one round trip, and one wait for the
# interpreter. The number of the last one outlives the COMMIT as a setting.
_INSERT = """
INSERT INTO events (log, seq, kind, event_id, series_id, features, target, ref_seq)
SELECT %(log)s, h.head + r.place, r.kind, r.event_id::json #>> '{}', r.series_id::json #>> '{}', r.features::json,
    r.target::double precision, r.ref_seq::bigint
FROM (SELECT coalesce(max(seq), 0) AS head FROM events WHERE log = %(log)s) h,
    ROWS FROM (
        string_to_table(%(kinds)s, E'\n'), string_to_table(%(event_ids)s, E'\n', 'null'),
        string_to_table(%(series_ids)s, E'\n', 'null'), string_to_table(%(features)s, E'\n', 'null'),
        string_to_table(%(targets)s, E'\n', 'null'), string_to_table(%(ref_seqs)s, E'\n', 'null')
    ) WITH ORDINALITY AS r(kind, event_id, series_id, features, target, ref_seq, place);
SELECT set_config('contender.newest', max(seq)::text, false),
    pg_notify(current_schema() || '.events', %(log)s || ' ' || max(seq)) FROM events WHERE log = %(log)s;
COMMIT;
SELECT current_setting('contender.newest')::bigint
"""
# Other halves by a lookup each, not by a join: on a table that just filled, whose statistics are old, the planner joins
# with all of it, and a read grows from 2 ms to 300.
_READ = """
COPY (
    SELECT concat('[', e.seq, ',"', e.kind, '",',
        coalesce(e.features, CASE WHEN e.kind = 'label' THEN
            (SELECT r.features FROM events r WHERE r.log = e.log AND r.seq = e.ref_seq) END, 'null'), ',',
        coalesce(e.target::text, CASE WHEN e.kind = 'predict' THEN
            (SELECT r.target FROM events r WHERE r.log = e.log AND r.seq = e.ref_seq)::text END, 'null'), ',',
        coalesce(to_json(e.series_id)::text, 'null'), ',', coalesce(e.ref_seq::text, 'null'), ',',
        coalesce(CASE WHEN e.kind = 'label' THEN
            (SELECT b.said[e.ref_seq - b.first_seq + 1] FROM prediction_blocks b
                WHERE b.log = e.log AND b.contender = %(contender)s AND b.contender_hash = %(contender_hash)s
                    AND b.first_seq <= e.ref_seq
                ORDER BY b.first_seq DESC LIMIT 1)::text END, 'null'), ']')
    FROM events e
    WHERE e.log = %(log)s AND e.seq > %(after)s AND e.seq <= %(until)s
    ORDER BY e.seq
) TO STDOUT (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')
"""


@dataclass(frozen=True)
class LearnerKey:
    """The key of a learner: a contender, as declared, on a log."""

    log: str
    contender: str
    contender_hash: str


_encode_lines = msgspec.json.Encoder().encode_lines
_decode_lines = msgspec.json.Decoder(list[Event]).decode
_decode_known = msgspec.json.Decoder(list[tuple[str, int, FeatureRow | None, float | None]]).decode


class PinnedConnection:
    """A connection of its own, opened when first used and again after Postgres went away. For one thread at a time.

    `opened` counts how often: while it does not change, the connection leads to the same database as before.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.opened = 0
        self._engine = engine
        self._pooled: sa.Connection | None = None

    @contextmanager
    def use(self) -> Iterator["Connection"]:
        """The connection: psycopg2's own, each statement a transaction unless it says otherwise.

        Raises DatabaseUnreachableError for any error that means that Postgres is not there.
        """
        try:
            if self._pooled is None:
                self._pooled = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self.opened += 1
            connection: Any = self._pooled.connection.driver_connection
            yield connection
        except (psycopg2.Error, sa.exc.DBAPIError) as error:
            self._discard()
            raise translate(error) or error from error
        except BaseException:
            self._discard()  # it may be in the middle of a transaction
            raise

    def close(self) -> None:
        """Gives the connection back."""
        if self._pooled is not None:
            self._pooled.close()
            self._pooled = None

    def _discard(self) -> None:
        if self._pooled is not None:
            self._pooled.invalidate()
            self.close()


@contextmanager
def session(engine: sa.Engine) -> Iterator["Connection"]:
    """A connection for `append` and `read`, for as long as the block runs; see `PinnedConnection.use`."""
    pinned = PinnedConnection(engine)
    try:
        with pinned.use() as connection:
            yield connection
    finally:
        pinned.close()


def append(connection: "Connection", log: str, new_events: Sequence[NewEvent]) -> AppendPlan:
    """Appends what is new of a group, all of it or nothing, and returns once it is committed."""
    return prepare(connection, log, new_events)()


def prepare(connection: "Connection", log: str, new_events: Sequence[NewEvent]) -> Callable[[], AppendPlan]:
    """Prepares to append a group, and returns the call that commits it: all that it does is wait for Postgres.

    Where events have ids, the log's lock is taken and the ids are looked up before this returns.
    """
    cursor = connection.cursor()
    ids = [event.event_id for event in new_events if event.event_id is not None]
    if not ids:
        statement = cursor.mogrify(_LOCK + _INSERT, {"log": log, **_columns_of_new(new_events)})

        def commit() -> AppendPlan:
            cursor.execute(statement)
            ((newest,),) = cursor.fetchall()
            return plan_append(new_events, {}, newest - len(new_events))

        return commit

    cursor.execute(_LOCK + _HEAD_AND_KNOWN, {"log": log, "ids": ids})
    ((head, known),) = cursor.fetchall()
    plan = plan_append(new_events, known_by_id(_decode_known(known or "[]")), head)
    statement = b"ROLLBACK"  # of a group without anything new: it ends the transaction and gives the lock back
    if plan.events:
        statement = cursor.mogrify(_INSERT, {"log": log, **_columns_of_plan(plan)})

    def commit_plan() -> AppendPlan:
        cursor.execute(statement)
        return plan

    return commit_plan


def head(connection: "Connection", log: str) -> int:
    """The number of the newest event; 0 for an empty log."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(seq), 0) FROM events WHERE log = %s", (log,))
        newest: int = cursor.fetchall()[0][0]
    return newest


def holding(connection: "Connection", log: str, new_events: Sequence[NewEvent]) -> list[bool]:
    """Of each event: whether the log has all of its halves under its id, with the same content or with other."""
    ids = [event.event_id for event in new_events if event.event_id is not None]
    if not ids:
        return [False] * len(new_events)
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, {"log": log, "ids": ids})
        known = known_by_id(_decode_known(cursor.fetchall()[0][0] or "[]"))
    return [
        (found := known.get(event.event_id or "")) is not None
        and (event.features is None or found.features is not None)
        and (event.target is None or found.target is not None)
        for event in new_events
    ]


def read(connection: "Connection", key: LearnerKey, after: int, until: int) -> list[Event]:
    """The events with `after < seq <= until`, in order; `predicted` by the key's contender where that is stored."""
    text = io.BytesIO()
    with connection.cursor() as cursor:
        parameters = {"after": after, "until": until, **vars(key)}
        cursor.copy_expert(cursor.mogrify(_READ, parameters), text)
    return _decode_lines(b"[" + text.getvalue()[:-1].replace(b"\n", b",") + b"]")


def blocks(pinned: PinnedConnection, key: LearnerKey, after: int, until: int) -> Iterator[list[Event]]:
    """The events with `after < seq <= until`, block by block; while one is used the next is read."""

    def block(begin: int) -> list[Event]:
        with pinned.use() as connection:
            return read(connection, key, begin, min(until, begin + BLOCK))

    if until - after <= BLOCK:
        if after < until:
            yield block(after)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as ahead:
        coming = ahead.submit(block, after)
        for begin in range(after + BLOCK, until, BLOCK):
            events = coming.result()
            coming = ahead.submit(block, begin)
            yield events
        yield coming.result()


def replay(pinned: PinnedConnection, key: LearnerKey, after: int, until: int) -> Iterator[Event]:
    """The events with `after < seq <= until`, one by one, read as `blocks` does."""
    return chain.from_iterable(blocks(pinned, key, after, until))


def _columns_of_new(new_events: Sequence[NewEvent]) -> dict[str, str]:
    """The columns of events of which none has an id: they are written as they come.

    Each column is a text with a line of JSON for each row. A line that is `null` is NULL, and so is every line of a
    column that ends before the others.
    """
    return {
        "kinds": "\n".join([event.kind for event in new_events]),
        "event_ids": "",
        "series_ids": _sparse([event.series_id for event in new_events]),
        "features": _lines([event.features for event in new_events]),
        "targets": _lines([event.target for event in new_events]),
        "ref_seqs": "",
    }


def _columns_of_plan(plan: AppendPlan) -> dict[str, str]:
    """The columns of a planned group. Of a row in two halves each event stores its own."""
    events = plan.events
    return {
        "kinds": "\n".join([event.kind for event in events]),
        "event_ids": _lines(plan.event_ids),
        "series_ids": _sparse([event.series_id for event in events]),
        "features": _lines([None if event.kind == "label" else event.features for event in events]),
        "targets": _lines([None if event.kind == "predict" else event.target for event in events]),
        "ref_seqs": _sparse([event.ref_seq for event in events]),
    }


def _sparse(values: Sequence[object]) -> str:
    return _lines(values) if any(value is not None for value in values) else ""


def _lines(values: Sequence[object]) -> str:
    return _encode_lines(values).decode()[:-1]
