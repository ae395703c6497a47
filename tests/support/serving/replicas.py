"""Replicas of one learner on one log, and what they are compared with."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import sqlalchemy as sa
from river import linear_model, preprocessing

from training.event_log import store as event_log
from training.event_log.events import NewEvent
from training.event_log.store import LearnerKey
from training.learners import checkpoints
from training.learners.checkpoints import CheckpointData
from training.learners.group_commit import GroupCommitter
from training.learners.learner import Learner
from training.learners.running_learner import RunningLearner
from training.models.online import Regressor

KEY = LearnerKey("live", "linear", "0" * 16)


def fresh() -> Learner:
    return Learner(Regressor(preprocessing.StandardScaler() | linear_model.LinearRegression()), "value")


@contextmanager
def replicas(engine: sa.Engine) -> Iterator[Callable[[], GroupCommitter]]:
    """Makes replicas, which are closed at the end."""
    with ExitStack() as opened:

        def make() -> GroupCommitter:
            committer = GroupCommitter(engine, RunningLearner(engine, KEY, fresh))
            opened.callback(committer.close)
            return committer

        yield make


def row(i: int, **changes: object) -> NewEvent:
    return NewEvent("row", {"in_1": float(i % 7), "in_2": float(i % 5)}, float(i % 7 * 2 + i % 5), **changes)  # type: ignore[arg-type]


def checkpoint(engine: sa.Engine, live: RunningLearner) -> None:
    with live.at_head() as learner:
        frozen = CheckpointData.of(learner)
    with engine.begin() as connection:
        checkpoints.write(connection, KEY, frozen)
    with live.lock:
        live.learner.forget_predictions(frozen.seq)


def image(learner: Learner) -> bytes:
    """The learner's bytes after a round trip, in which equal learners are equal."""
    return Learner.deserialize(learner.serialize()).serialize()


def straight(engine: sa.Engine) -> Learner:
    """One uninterrupted run over the log."""
    learner = fresh()
    with event_log.session(engine) as connection:
        learner.apply(event_log.read(connection, KEY, 0, 1_000_000), lambda *_: ())
    return learner
