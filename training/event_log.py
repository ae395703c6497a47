"""The event log in Postgres: appended in groups, one order per log without a gap, read in blocks.

A group costs one transaction, however many writers share it: it takes the log's lock, looks at what is known of its
ids, numbers what is new, and ends in one COMMIT with one NOTIFY. The lock is held by the transaction, so a number is
visible exactly when all smaller ones are.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg2
import sqlalchemy as sa

from core.faults import explained
from training.events import Draft, Event, decode_features, encode_features
from training.placing import Known, Placing, known_by_id, place

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 (psycopg2 names its classes so)
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

BLOCK = 2_000
"""Events of one read: large enough that a round trip costs little, small enough to hold in memory."""

_BEGIN = """
BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/events/' || %(log)s, 0));
SELECT coalesce(max(seq), 0) FROM events WHERE log = %(log)s
"""
_KNOWN = "SELECT event_id, seq, features::text, target FROM events WHERE log = %s AND event_id = ANY(%s)"
_COPY = "COPY events (log, seq, kind, event_id, series_id, features, target, ref_seq) FROM STDIN"
_COMMIT = "SELECT pg_notify(current_schema() || '.events', %s); COMMIT"
_READ = """
COPY (
    SELECT concat('[', e.seq, ',"', e.kind, '",', coalesce(e.features::text, r.features::text, 'null'), ',',
        coalesce(e.target::text, r.target::text, 'null'), ',', coalesce(to_json(e.series_id)::text, 'null'), ',',
        coalesce(e.ref_seq::text, 'null'), ',', coalesce(p.value::text, 'null'), ']')
    FROM events e
    LEFT JOIN events r ON r.log = e.log AND r.seq = e.ref_seq
    LEFT JOIN event_predictions p ON p.log = e.log AND p.seq = e.ref_seq
        AND p.contender = %(contender)s AND p.contender_hash = %(contender_hash)s
    WHERE e.log = %(log)s AND e.seq > %(after)s AND e.seq <= %(until)s
    ORDER BY e.seq
) TO STDOUT (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')
"""
_NULL = "\\N"


@dataclass(frozen=True)
class LearnerKey:
    """Whose learner: a contender, as declared, on a log."""

    log: str
    contender: str
    contender_hash: str


_decode_lines = msgspec.json.Decoder(list[Event]).decode


class Line:
    """A connection of its own, opened when first used and again after Postgres went away. For one thread at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._pooled: sa.Connection | None = None

    @contextmanager
    def talk(self) -> Iterator["Connection"]:
        """The connection: psycopg2's own, each statement a transaction unless it says otherwise.

        Raises DatabaseUnreachableError for whatever says that Postgres is not there. After any error the connection is
        thrown away, for it may stand in the middle of a transaction.
        """
        try:
            if self._pooled is None:
                self._pooled = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection: Any = self._pooled.connection.driver_connection
            yield connection
        except (psycopg2.Error, sa.exc.DBAPIError) as error:
            self._discard()
            raise explained(error) or error from error
        except BaseException:
            self._discard()
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
    """A connection for `append` and `read`, for as long as the block runs; see `Line.talk`."""
    line = Line(engine)
    try:
        with line.talk() as connection:
            yield connection
    finally:
        line.close()


def append(connection: "Connection", log: str, drafts: Sequence[Draft]) -> Placing:
    """Appends what is new of a group, all of it or nothing, and returns once it is committed."""
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, {"log": log})
        ((head,),) = cursor.fetchall()
        placing = place(drafts, _known(cursor, log, drafts), head)
        if not placing.events:
            cursor.execute("ROLLBACK")
            return placing
        cursor.copy_expert(_COPY, io.StringIO(_lines(log, placing)))
        cursor.execute(_COMMIT, (f"{log} {placing.events[-1].seq}",))
    return placing


def head(connection: "Connection", log: str) -> int:
    """The number of the newest event; 0 for an empty log."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(seq), 0) FROM events WHERE log = %s", (log,))
        newest: int = cursor.fetchall()[0][0]
    return newest


def read(connection: "Connection", key: LearnerKey, after: int, until: int) -> list[Event]:
    """The events with `after < seq <= until`, in order; `said` is what the key's contender predicted, where stored."""
    text = io.BytesIO()
    with connection.cursor() as cursor:
        parameters = {"after": after, "until": until, **vars(key)}
        cursor.copy_expert(cursor.mogrify(_READ, parameters), text)
    return _decode_lines(b"[" + text.getvalue()[:-1].replace(b"\n", b",") + b"]")


def _known(cursor: "Cursor", log: str, drafts: Sequence[Draft]) -> dict[str, Known]:
    ids = [draft.event_id for draft in drafts if draft.event_id is not None]
    if not ids:
        return {}
    cursor.execute(_KNOWN, (log, ids))
    return known_by_id(
        (event_id, seq, None if features is None else decode_features(features), target)
        for event_id, seq, features, target in cursor.fetchall()
    )


def _lines(log: str, placing: Placing) -> str:
    """The group as COPY reads it. Of a row in two halves each event holds its own."""
    start = f"{_escaped(log)}\t"
    lines = []
    for event, event_id in zip(placing.events, placing.event_ids, strict=True):
        has_features = event.kind in ("row", "predict")
        has_target = event.kind in ("row", "label")
        fields = (
            str(event.seq),
            event.kind,
            _NULL if event_id is None else _escaped(event_id),
            _NULL if event.series_id is None else _escaped(event.series_id),
            _escaped(encode_features(event.features).decode()) if has_features else _NULL,
            repr(event.target) if has_target else _NULL,
            _NULL if event.ref_seq is None else str(event.ref_seq),
        )
        lines.append(start + "\t".join(fields) + "\n")
    return "".join(lines)


def _escaped(text: str) -> str:
    """Text as a field of COPY."""
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\t" in text or "\n" in text or "\r" in text:
        text = text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return text
