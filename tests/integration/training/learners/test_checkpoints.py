"""Learners and what is stored of them: the same again after a restart, another library, a backup put back."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import sqlalchemy as sa

from core.db.event_tables import checkpoints
from core.errors import DatabaseUnreachableError, IntegrityError
from tests.support.serving.replicas import KEY, checkpoint, image, replicas, row, straight
from training.event_log.events import NewEvent
from training.learners import checkpoints as store
from training.learners.group_commit import Ack, GroupCommitter


@pytest.fixture
def replica(engine: sa.Engine) -> Iterator[Callable[[], GroupCommitter]]:
    with replicas(engine) as make:
        yield make


def test_a_replica_that_starts_from_a_checkpoint_is_the_one_that_never_stopped(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    first = replica()
    first.submit([row(i, event_id=str(i)) for i in range(40)])
    checkpoint(engine, first.running)
    first.submit([row(i, event_id=str(i)) for i in range(40, 60)])

    second = replica()

    with second.running.at_head() as learner:
        assert image(learner) == image(straight(engine))
    again = second.submit([row(5, event_id="5"), row(55, event_id="55")])
    assert [answer.prediction for answer in again if isinstance(answer, Ack)] == [
        straight(engine).predictions[6],
        straight(engine).predictions[56],
    ]
    assert not any(answer.is_new for answer in again if isinstance(answer, Ack))


def test_what_was_said_is_found_again_in_whatever_block_of_whichever_checkpoint(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    committer = replica()
    asked = [NewEvent("predict", {"in_1": float(i)}, None, str(i)) for i in range(300)]
    for begin in range(0, 300, 60):
        committer.submit([row(begin), *asked[begin : begin + 60]])
        checkpoint(engine, committer.running)
    said = straight(engine).predictions
    assert all(store.stored_prediction(engine, KEY, seq) == value for seq, value in said.items())

    other = replica()
    other.submit([NewEvent("label", None, float(i), str(i)) for i in range(300)])

    assert other.running.learner.scores["default"].report()["count"] == 300 + 4
    assert image(other.running.learner) == image(straight(engine))
    assert store.stored_prediction(engine, KEY, 1_000) is None


def test_what_is_stored_of_predictions_stays_whoever_stores_it_again(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        store.store_predictions(connection, KEY, {1: 1.0, 2: None, 3: 3.0})
        store.store_predictions(connection, KEY, {2: 9.0, 3: 9.0, 4: 4.0, 6: 6.0})
        stored = connection.execute(sa.text("SELECT seq, value FROM event_predictions ORDER BY seq")).all()

    assert [tuple(row) for row in stored] == [(1, 1.0), (3, 3.0), (4, 4.0), (6, 6.0)]


def test_a_backup_that_is_put_back_under_a_running_worker_takes_its_learner_back_too(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    """What was learned of rows that are gone is forgotten, though the log has grown past them meanwhile."""
    committer, follower = replica(), replica().running
    committer.submit([row(i) for i in range(20)])
    checkpoint(engine, committer.running)
    committer.submit([row(i) for i in range(20, 50)])
    follower.follow(50)

    with engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text("DELETE FROM events WHERE seq > 20"))
        others = "pid <> pg_backend_pid() AND datname = current_database() AND application_name = 'contender'"
        connection.execute(sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    answers: list[object] = []
    while not answers:
        with suppress(DatabaseUnreachableError):
            answers = list(committer.submit([row(3 * i) for i in range(60)]))
    with suppress(DatabaseUnreachableError):
        follower.follow(80)
    follower.follow(80)

    said = straight(engine).predictions
    assert answers == [Ack(seq, said[seq], is_new=True) for seq in range(21, 81)]
    assert image(committer.running.learner) == image(follower.learner) == image(straight(engine))


def test_a_checkpoint_of_other_libraries_is_rebuilt_by_replay(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    committer = replica()
    committer.submit([row(i) for i in range(30)])
    checkpoint(engine, committer.running)
    with engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(stamp="python 2.7", state=b"not to be unpickled"))

    learner = replica().running.learner

    assert (learner.seq, learner.rows_learned, learner.predictions) == (30, 30, {})
    assert image(learner) == image(straight(engine))


def test_a_replay_that_says_otherwise_is_refused(engine: sa.Engine, replica: Callable[[], GroupCommitter]) -> None:
    committer = replica()
    committer.submit([row(i) for i in range(30)])
    checkpoint(engine, committer.running)
    with engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(stamp="python 2.7"))
        connection.execute(sa.text("UPDATE prediction_blocks SET said[20] = said[20] + 1e-6"))

    with pytest.raises(IntegrityError, match="event 20"):
        _ = replica().running.learner


def test_a_checkpoint_that_was_changed_is_not_unpickled(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    committer = replica()
    committer.submit([row(1)])
    checkpoint(engine, committer.running)
    with engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(state=b"\x80\x05X\x00"))

    with pytest.raises(IntegrityError, match="not what was recorded"):
        _ = replica().running.learner
