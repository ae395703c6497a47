"""Checkpoints: a learner after an event, with its predictions up to there, stored in one transaction.

Restoring takes the newest one and replays what follows. A checkpoint that another environment pickled is not
unpickled: the learner is rebuilt by replaying the whole log, and every prediction of that replay is compared with the
one that was stored at the time.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import fetch_all, fetch_one, fetch_scalar
from core.db.event_tables import checkpoints, events, prediction_blocks, registrations
from core.errors import IntegrityError, NotFoundError
from core.fingerprint import environment_fingerprint
from training.event_log import store as event_log
from training.event_log.events import Event
from training.event_log.store import LearnerKey
from training.learners.learner import Learner

KEPT = 3
"""Checkpoints kept of each learner, beside those that a version in MLflow is made of."""
# A row of so many stays within a page of Postgres: one prediction is read without the others.
PREDICTIONS_A_BLOCK = 240
PARITY_TOLERANCE = 1e-9
"""How far a replayed prediction may be from the stored one, relative to its size where that is above 1."""
LEARNER_CODE = (
    "training.models",
    "training.event_log.validation",
    "training.learners.learner",
    "training.learners.running_metrics",
    "training.learners.factory",
)


@dataclass(frozen=True)
class CheckpointInfo:
    """A stored checkpoint without its state: the last event, the environment that pickled it, the size in bytes."""

    last_seq: int
    fingerprint: str
    size_bytes: int

    @property
    def is_foreign(self) -> bool:
        """Whether another environment pickled it: it is never unpickled here."""
        return self.fingerprint != present_fingerprint()


@dataclass(frozen=True)
class CheckpointData:
    """A serialised learner: its state after the event `seq`, and its predictions since the last checkpoint."""

    seq: int
    state: bytes
    rows_learned: int
    predictions: Mapping[int, float | None]

    @classmethod
    def of(cls, learner: Learner) -> "CheckpointData":
        """The learner as it is now. The caller holds the lock that keeps other threads from applying events."""
        return cls(learner.seq, learner.serialize(), learner.rows_learned, dict(learner.predictions))


_columns = prediction_blocks.c


def present_fingerprint() -> str:
    """The environment fingerprint of a learner that is pickled here."""
    return environment_fingerprint(LEARNER_CODE)


def newest(engine: sa.Engine, key: LearnerKey) -> CheckpointInfo | None:
    """The newest checkpoint of what the log holds; None when there is none."""
    # After a restored backup the log may end before a checkpoint that was written meanwhile.
    end = sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0)).where(events.c.log == key.log).scalar_subquery()
    return _find(engine, (*for_key(checkpoints, key), checkpoints.c.last_seq <= end))


def restore(engine: sa.Engine, key: LearnerKey, make_learner: Callable[[], Learner]) -> Learner:
    """The learner at its newest checkpoint; a new one of `make_learner` when there is none.

    Raises:
        IntegrityError: the state has another digest than was recorded, or a replay predicts otherwise than is stored.

    """
    stored = newest(engine, key)
    return make_learner() if stored is None else _load(engine, key, stored, make_learner)


def at(engine: sa.Engine, key: LearnerKey, last_seq: int, make_learner: Callable[[], Learner]) -> Learner:
    """The learner at the checkpoint after the event `last_seq`: one that a version was made of.

    Raises:
        NotFoundError: there is no such checkpoint.
        IntegrityError: as `restore`.

    """
    stored = _find(engine, (*for_key(checkpoints, key), checkpoints.c.last_seq == last_seq))
    if stored is None:
        raise NotFoundError(
            f"There is no checkpoint of {key.contender} on {key.log} after event {last_seq}.", "It was deleted."
        )
    return _load(engine, key, stored, make_learner)


def write(connection: sa.Connection, key: LearnerKey, data: CheckpointData) -> None:
    """Stores a learner and its predictions since the last checkpoint, in the caller's transaction."""
    connection.execute(
        insert(checkpoints)
        .values(
            **vars(key),
            last_seq=data.seq,
            stamp=present_fingerprint(),
            state=data.state,
            digest=hashlib.sha256(data.state).hexdigest(),
            rows_learned=data.rows_learned,
        )
        # A learner is a function of the log: a checkpoint after the same event is the same.
        .on_conflict_do_nothing()
    )
    store_predictions(connection, key, data.predictions)
    _prune(connection, key)


def store_predictions(connection: sa.Connection, key: LearnerKey, predictions: Mapping[int, float | None]) -> None:
    """Stores a learner's predictions, by event, in blocks; those stored before stay as they are."""
    last = sa.select(_columns.first_seq + sa.func.cardinality(_columns.said) - 1).where(
        *for_key(prediction_blocks, key)
    )
    through: int = connection.execute(last.order_by(_columns.first_seq.desc()).limit(1)).scalar() or 0
    new = [seq for seq in predictions if seq > through]
    if not new:
        return
    # Dense, with null at events without a prediction: the place in a block is computed from the event's number.
    first, values = min(new), [predictions.get(seq) for seq in range(min(new), max(new) + 1)]
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
    """The contender's prediction at an event, as it was stored with a checkpoint."""
    statement = (
        sa.select(_columns.said[seq - _columns.first_seq + 1])
        .where(*for_key(prediction_blocks, key), _columns.first_seq <= seq)
        .order_by(_columns.first_seq.desc())
        .limit(1)
    )
    predicted: float | None = fetch_scalar(engine, statement)
    return predicted


def _find(engine: sa.Engine, conditions: tuple[sa.ColumnElement[bool], ...]) -> CheckpointInfo | None:
    statement = (
        sa.select(checkpoints.c.last_seq, checkpoints.c.stamp, sa.func.octet_length(checkpoints.c.state).label("size"))
        .where(*conditions)
        .order_by(checkpoints.c.last_seq.desc())
        .limit(1)
    )
    row = fetch_one(engine, statement)
    return None if row is None else CheckpointInfo(row.last_seq, row.stamp, row.size)


def _load(engine: sa.Engine, key: LearnerKey, stored: CheckpointInfo, make_learner: Callable[[], Learner]) -> Learner:
    if stored.is_foreign:
        return _rebuild(engine, key, make_learner(), stored.last_seq)
    statement = sa.select(checkpoints.c.state, checkpoints.c.digest).where(
        *for_key(checkpoints, key), checkpoints.c.last_seq == stored.last_seq
    )
    (row,) = fetch_all(engine, statement)
    if hashlib.sha256(row.state).hexdigest() != row.digest:
        raise IntegrityError(
            f"The checkpoint of {key.contender} on {key.log} after event {stored.last_seq} is not what was recorded.",
            "Delete that row of the table `checkpoints`; the learner is then rebuilt from an older one and the log.",
        )
    return Learner.deserialize(row.state)


def _rebuild(engine: sa.Engine, key: LearnerKey, learner: Learner, until: int) -> Learner:
    """Replays the log up to an event, and proves that the replay predicts what is stored."""
    connection = event_log.PinnedConnection(engine)

    def read(after: int, last: int) -> Iterator[Event]:
        return event_log.replay(connection, key, after, last)

    try:
        while learner.seq < until:
            begin = learner.seq
            learner.apply(read(begin, min(until, begin + event_log.BLOCK)), read)
            _prove_parity(engine, key, begin, learner)
            # Compared by now: kept to the end they would take memory as the log grows.
            learner.forget_predictions(learner.seq)
    finally:
        connection.close()
    return learner


def _prove_parity(engine: sa.Engine, key: LearnerKey, after: int, learner: Learner) -> None:
    blocks = sa.select(_columns.first_seq, _columns.said).where(
        *for_key(prediction_blocks, key),
        _columns.first_seq + sa.func.cardinality(_columns.said) > after,
        _columns.first_seq <= learner.seq,
    )
    stored = [(seq, value) for row in fetch_all(engine, blocks) for seq, value in enumerate(row.said, row.first_seq)]
    for seq, value in stored:
        if not after < seq <= learner.seq:
            continue
        replayed = learner.predictions.get(seq)
        if (value is None) != (replayed is None) or (
            value is not None
            and replayed is not None
            # `not <=` instead of `>`: a NaN is a difference, too.
            and not abs(value - replayed) <= PARITY_TOLERANCE * max(1.0, abs(value))
        ):
            raise IntegrityError(
                f"{key.contender} on {key.log}, rebuilt by replay for other libraries, predicts {replayed} at event "
                f"{seq}, where it had predicted {value}.",
                "Go back to the libraries that it was made with, or give the contender another seed or parameter in "
                "the task file: it then starts as a new one.",
            )


def _prune(connection: sa.Connection, key: LearnerKey) -> None:
    mine = for_key(checkpoints, key)
    kept = sa.select(checkpoints.c.last_seq).where(*mine).order_by(checkpoints.c.last_seq.desc()).limit(KEPT)
    # A version that is served frozen, or is still to be registered, is read from its checkpoint.
    registered = sa.select(registrations.c.last_seq).where(*for_key(registrations, key))
    connection.execute(
        sa.delete(checkpoints).where(
            *mine, checkpoints.c.last_seq.not_in(kept), checkpoints.c.last_seq.not_in(registered)
        )
    )


def for_key(table: sa.Table, key: LearnerKey) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions that pick a learner's rows of a table."""
    return (
        table.c.log == key.log,
        table.c.contender == key.contender,
        table.c.contender_hash == key.contender_hash,
    )
