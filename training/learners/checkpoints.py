"""Checkpoints: a learner as it stood after an event, with what it had said by then, in one transaction.

Restoring takes the newest one and replays what follows. A checkpoint that another environment pickled is not
unpickled: the learner is made anew by replaying the whole log, and every prediction of that replay is held against
the one that was stored at the time.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import reachable
from core.db.event_tables import checkpoints, events, prediction_blocks, registrations
from core.errors import IntegrityError, NotFoundError
from core.fingerprint import environment_fingerprint
from training.event_log import store as event_log
from training.event_log.events import Event
from training.event_log.store import LearnerKey
from training.learners.learner import Learner

KEPT = 3
"""Checkpoints kept of each learner, beside those that a version in MLflow is made of."""
PREDICTIONS_A_BLOCK = 240
"""A row of so many stays within a page of Postgres: one of them can be read without the others."""
PARITY = 1e-9
"""How far a replayed prediction may be from the stored one."""
LEARNER_CODE = (
    "training.models",
    "training.event_log.validation",
    "training.learners.learner",
    "training.learners.running_metrics",
    "training.learners.factory",
)


@dataclass(frozen=True)
class CheckpointInfo:
    """What is stored of a learner: how far it had come, and the size of its state in bytes."""

    last_seq: int
    stamp: str
    size_bytes: int

    @property
    def is_foreign(self) -> bool:
        """Whether another environment pickled it: it is never unpickled here."""
        return self.stamp != present_stamp()


@dataclass(frozen=True)
class CheckpointData:
    """A learner at rest: its state after the event `seq`, and what it said since the last checkpoint."""

    seq: int
    state: bytes
    rows_learned: int
    said: Mapping[int, float | None]

    @classmethod
    def of(cls, learner: Learner) -> "CheckpointData":
        """The learner as it stands now. The caller sees to it that nobody applies events meanwhile."""
        return cls(learner.seq, learner.freeze(), learner.rows_learned, dict(learner.said))


_columns = prediction_blocks.c


def present_stamp() -> str:
    """What a learner that is pickled here depends on."""
    return environment_fingerprint(LEARNER_CODE)


def newest(engine: sa.Engine, key: LearnerKey) -> CheckpointInfo | None:
    """The newest checkpoint without its state, none of those beyond the log's end; None when there is none."""
    end = sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0)).where(events.c.log == key.log).scalar_subquery()
    return _find(engine, (*_of(checkpoints, key), checkpoints.c.last_seq <= end))


def restore(engine: sa.Engine, key: LearnerKey, fresh: Callable[[], Learner]) -> Learner:
    """The learner as it stood at its newest checkpoint; `fresh()` when there is none.

    Raises IntegrityError when the state is not what was recorded of it, or when a replay does not say what was said.
    """
    stored = newest(engine, key)
    return fresh() if stored is None else _thaw(engine, key, stored, fresh)


def at(engine: sa.Engine, key: LearnerKey, last_seq: int, fresh: Callable[[], Learner]) -> Learner:
    """The learner as it stood at the checkpoint after the event `last_seq`: one that a version was made of.

    Raises NotFoundError when there is no such checkpoint; otherwise as `restore`.
    """
    stored = _find(engine, (*_of(checkpoints, key), checkpoints.c.last_seq == last_seq))
    if stored is None:
        raise NotFoundError(
            f"There is no checkpoint of {key.contender} on {key.log} after event {last_seq}.", "It was deleted."
        )
    return _thaw(engine, key, stored, fresh)


def write(connection: sa.Connection, key: LearnerKey, frozen: CheckpointData) -> None:
    """Stores a frozen learner and what it said since the last checkpoint, in the caller's transaction."""
    connection.execute(
        insert(checkpoints)
        .values(
            **vars(key),
            last_seq=frozen.seq,
            stamp=present_stamp(),
            state=frozen.state,
            digest=hashlib.sha256(frozen.state).hexdigest(),
            rows_learned=frozen.rows_learned,
        )
        .on_conflict_do_nothing()
    )
    store_predictions(connection, key, frozen.said)
    _prune(connection, key)


def store_predictions(connection: sa.Connection, key: LearnerKey, said: Mapping[int, float | None]) -> None:
    """Stores what a learner said, by event, in blocks; what is stored stays as it is."""
    last = sa.select(_columns.first_seq + sa.func.cardinality(_columns.said) - 1).where(*_of(prediction_blocks, key))
    through: int = connection.execute(last.order_by(_columns.first_seq.desc()).limit(1)).scalar() or 0
    new = [seq for seq in said if seq > through]
    if not new:
        return
    first, values = min(new), [said.get(seq) for seq in range(min(new), max(new) + 1)]
    # As a text: adapting tens of thousands of numbers one by one would keep requests waiting for the interpreter.
    text = f"{{{msgspec.json.encode(values).decode()[1:-1]}}}"
    connection.execute(
        sa.text(
            "INSERT INTO prediction_blocks (log, contender, contender_hash, first_seq, said) "
            "SELECT :log, :contender, :contender_hash, :first + i, whole[i + 1 : i + :length] "
            "FROM CAST(:said AS double precision[]) whole, generate_series(0, :count - 1, :length) i"
        ),
        {**vars(key), "first": first, "said": text, "count": len(values), "length": PREDICTIONS_A_BLOCK},
    )


def stored_prediction(engine: sa.Engine, key: LearnerKey, seq: int) -> float | None:
    """What the contender said at an event, as it was stored with a checkpoint."""
    statement = (
        sa.select(_columns.said[seq - _columns.first_seq + 1])
        .where(*_of(prediction_blocks, key), _columns.first_seq <= seq)
        .order_by(_columns.first_seq.desc())
        .limit(1)
    )
    with reachable(), engine.connect() as connection:
        return connection.execute(statement).scalar_one_or_none()


def _find(engine: sa.Engine, conditions: tuple[sa.ColumnElement[bool], ...]) -> CheckpointInfo | None:
    statement = (
        sa.select(checkpoints.c.last_seq, checkpoints.c.stamp, sa.func.octet_length(checkpoints.c.state))
        .where(*conditions)
        .order_by(checkpoints.c.last_seq.desc())
        .limit(1)
    )
    with reachable(), engine.connect() as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else CheckpointInfo(*row)


def _thaw(engine: sa.Engine, key: LearnerKey, stored: CheckpointInfo, fresh: Callable[[], Learner]) -> Learner:
    if stored.is_foreign:
        return _rebuild(engine, key, fresh(), stored.last_seq)
    statement = sa.select(checkpoints.c.state, checkpoints.c.digest).where(
        *_of(checkpoints, key), checkpoints.c.last_seq == stored.last_seq
    )
    with reachable(), engine.connect() as connection:
        state, digest = connection.execute(statement).one()
    if hashlib.sha256(state).hexdigest() != digest:
        raise IntegrityError(
            f"The checkpoint of {key.contender} on {key.log} after event {stored.last_seq} is not what was recorded.",
            "Delete that row of the table `checkpoints`; the learner is then rebuilt from an older one and the log.",
        )
    return Learner.thaw(state)


def _rebuild(engine: sa.Engine, key: LearnerKey, learner: Learner, until: int) -> Learner:
    """Replays the log up to an event, and proves that the replay says what was said."""
    line = event_log.PinnedConnection(engine)

    def read(after: int, last: int) -> Iterator[Event]:
        return event_log.replay(line, key, after, last)

    try:
        while learner.seq < until:
            begin = learner.seq
            learner.apply(read(begin, min(until, begin + event_log.BLOCK)), read)
            _prove_parity(engine, key, begin, learner)
            learner.forget_said(learner.seq)
    finally:
        line.close()
    return learner


def _prove_parity(engine: sa.Engine, key: LearnerKey, after: int, learner: Learner) -> None:
    blocks = sa.select(_columns.first_seq, _columns.said).where(
        *_of(prediction_blocks, key),
        _columns.first_seq + sa.func.cardinality(_columns.said) > after,
        _columns.first_seq <= learner.seq,
    )
    with reachable(), engine.connect() as connection:
        stored = [(seq, value) for first, said in connection.execute(blocks) for seq, value in enumerate(said, first)]
    for seq, value in stored:
        if not after < seq <= learner.seq:
            continue
        replayed = learner.said.get(seq)
        if (value is None) != (replayed is None) or (
            value is not None and replayed is not None and not abs(value - replayed) <= PARITY * max(1.0, abs(value))
        ):
            raise IntegrityError(
                f"{key.contender} on {key.log}, rebuilt by replay for other libraries, says {replayed} of event {seq}, "
                f"where it had said {value}.",
                "Go back to the libraries that it was made with, or give the contender another seed or parameter in "
                "the task file: it then begins as a new one.",
            )


def _prune(connection: sa.Connection, key: LearnerKey) -> None:
    mine = _of(checkpoints, key)
    kept = sa.select(checkpoints.c.last_seq).where(*mine).order_by(checkpoints.c.last_seq.desc()).limit(KEPT)
    registered = sa.select(registrations.c.last_seq).where(*_of(registrations, key))
    connection.execute(
        sa.delete(checkpoints).where(
            *mine, checkpoints.c.last_seq.not_in(kept), checkpoints.c.last_seq.not_in(registered)
        )
    )


def _of(table: sa.Table, key: LearnerKey) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        table.c.log == key.log,
        table.c.contender == key.contender,
        table.c.contender_hash == key.contender_hash,
    )
