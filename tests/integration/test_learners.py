"""Learners on a real Postgres: every replica the same, whatever came when, and the same again after a restart."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest
import sqlalchemy as sa
from river import linear_model, preprocessing

from core.errors import DatabaseUnreachableError, IntegrityError
from core.event_tables import checkpoints
from serving.pushed_rows import read_rows
from training import checkpoints as store
from training import event_log
from training.checkpoints import Frozen
from training.event_log import LearnerKey
from training.events import Draft, EventConflictError
from training.intake import Intake, Taken
from training.learner import Learner
from training.live import LiveLearner
from training.online import Regressor

KEY = LearnerKey("live", "linear", "0" * 16)


def fresh() -> Learner:
    return Learner(Regressor(preprocessing.StandardScaler() | linear_model.LinearRegression()), "value")


@pytest.fixture
def replica(engine: sa.Engine) -> Iterator[Callable[[], Intake]]:
    with ExitStack() as opened:

        def make() -> Intake:
            intake = Intake(engine, LiveLearner(engine, KEY, fresh))
            opened.callback(intake.close)
            return intake

        yield make


def row(i: int, **changes: object) -> Draft:
    return Draft("row", {"in_1": float(i % 7), "in_2": float(i % 5)}, float(i % 7 * 2 + i % 5), **changes)  # type: ignore[arg-type]


def checkpoint(engine: sa.Engine, live: LiveLearner) -> None:
    with live.at_head() as learner:
        frozen = Frozen.of(learner)
    with engine.begin() as connection:
        store.write(connection, KEY, frozen)
    with live.lock:
        live.learner.forget_said(frozen.seq)


def image(learner: Learner) -> bytes:
    """The learner's bytes after a round trip, in which equal learners are equal."""
    return Learner.thaw(learner.freeze()).freeze()


def straight(engine: sa.Engine) -> Learner:
    """One uninterrupted run over the log."""
    learner = fresh()
    with event_log.session(engine) as connection:
        learner.apply(event_log.read(connection, KEY, 0, 1_000_000), lambda *_: ())
    return learner


def test_an_answer_is_the_prediction_of_the_model_that_learned_all_rows_before(
    engine: sa.Engine, replica: Callable[[], Intake]
) -> None:
    answers = replica().take([row(i) for i in range(50)])

    by_hand = preprocessing.StandardScaler() | linear_model.LinearRegression()
    expected: list[float | None] = []
    for i in range(50):
        draft = row(i)
        expected.append(by_hand.predict_one(draft.features) if i else None)
        by_hand.learn_one(draft.features, draft.target)
    assert answers == [Taken(i + 1, said, is_new=True) for i, said in enumerate(expected)]


def test_replicas_that_take_rows_at_the_same_time_hold_the_same_model(
    engine: sa.Engine, replica: Callable[[], Intake]
) -> None:
    replicas = [replica() for _ in range(3)]

    def send(writer: int) -> None:
        chance = random.Random(writer)
        for i in range(25):
            replicas[chance.randrange(3)].take([row(i, event_id=f"{writer}-{i}"), row(i, event_id=f"shared-{i}")])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, range(6)))

    for intake in replicas:
        with intake.live.at_head() as learner:
            assert (learner.seq, learner.rows_learned) == (6 * 25 + 25, 6 * 25 + 25)
            assert image(learner) == image(straight(engine))


def test_a_replica_that_starts_from_a_checkpoint_is_the_one_that_never_stopped(
    engine: sa.Engine, replica: Callable[[], Intake]
) -> None:
    first = replica()
    first.take([row(i, event_id=str(i)) for i in range(40)])
    checkpoint(engine, first.live)
    first.take([row(i, event_id=str(i)) for i in range(40, 60)])

    second = replica()

    with second.live.at_head() as learner:
        assert image(learner) == image(straight(engine))
    again = second.take([row(5, event_id="5"), row(55, event_id="55")])
    assert [answer.prediction for answer in again if isinstance(answer, Taken)] == [
        straight(engine).said[6],
        straight(engine).said[56],
    ]
    assert not any(answer.is_new for answer in again if isinstance(answer, Taken))


@pytest.mark.parametrize("with_checkpoint", [False, True])
@pytest.mark.parametrize("order", [("predict", "label"), ("label", "predict")])
def test_halves_sent_apart_are_learned_once_and_scored_only_when_predicted_first(
    engine: sa.Engine, replica: Callable[[], Intake], order: tuple[str, str], with_checkpoint: bool
) -> None:
    intake = replica()
    intake.take([row(i) for i in range(10)])
    halves = {"predict": Draft("predict", {"in_1": 3.0}, None, "a"), "label": Draft("label", None, 4.0, "a")}
    scored_before = intake.live.learner.scores["default"].report()["count"]

    intake.take([halves[order[0]]])
    if with_checkpoint:
        checkpoint(engine, intake.live)
        intake = replica()
    intake.take([halves[order[1]]])

    learner = intake.live.learner
    assert learner.rows_learned == 11
    assert learner.scores["default"].report()["count"] == scored_before + (order[0] == "predict")
    assert image(learner) == image(straight(engine))


def test_a_conflict_is_answered_alone(replica: Callable[[], Intake]) -> None:
    intake = replica()
    intake.take([row(1, event_id="a")])

    conflict, fine = intake.take([row(2, event_id="a"), row(2, event_id="b")])

    assert isinstance(conflict, EventConflictError)
    assert isinstance(fine, Taken)


def test_while_learning_is_paused_rows_are_predicted_and_when_it_goes_on_they_are_learned(
    engine: sa.Engine, replica: Callable[[], Intake]
) -> None:
    intake = replica()
    intake.take([row(i) for i in range(10)])
    intake.take([Draft("pause")])
    frozen = intake.live.predict({"in_1": 1.0, "in_2": 1.0}, None)
    intake.take([row(i) for i in range(10, 20)])
    assert intake.live.predict({"in_1": 1.0, "in_2": 1.0}, None) == frozen
    assert intake.live.learner.scores["default"].report()["count"] == 19

    checkpoint(engine, intake.live)
    intake = replica()
    intake.take([Draft("resume")])

    plain = fresh()
    with event_log.session(engine) as connection:
        plain.replay(event_log.read(connection, KEY, 0, 100))
    assert intake.live.learner.rows_learned == 20
    assert intake.live.predict({"in_1": 1.0, "in_2": 1.0}, None) == plain.model.predict(
        {"in_1": 1.0, "in_2": 1.0}, "default"
    )


def test_what_was_said_is_found_again_in_whatever_block_of_whichever_checkpoint(
    engine: sa.Engine, replica: Callable[[], Intake]
) -> None:
    intake = replica()
    asked = [Draft("predict", {"in_1": float(i)}, None, str(i)) for i in range(300)]
    for begin in range(0, 300, 60):
        intake.take([row(begin), *asked[begin : begin + 60]])
        checkpoint(engine, intake.live)
    said = straight(engine).said
    assert all(store.stored_prediction(engine, KEY, seq) == value for seq, value in said.items())

    other = replica()
    other.take([Draft("label", None, float(i), str(i)) for i in range(300)])

    assert other.live.learner.scores["default"].report()["count"] == 300 + 4
    assert image(other.live.learner) == image(straight(engine))
    assert store.stored_prediction(engine, KEY, 1_000) is None


def test_what_is_stored_of_predictions_stays_whoever_stores_it_again(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        store.store_predictions(connection, KEY, {1: 1.0, 2: None, 3: 3.0})
        store.store_predictions(connection, KEY, {2: 9.0, 3: 9.0, 4: 4.0, 6: 6.0})
        stored = connection.execute(sa.text("SELECT seq, value FROM event_predictions ORDER BY seq")).all()

    assert [tuple(row) for row in stored] == [(1, 1.0), (3, 3.0), (4, 4.0), (6, 6.0)]


def test_an_intake_that_was_closed_opens_for_whoever_comes_late(replica: Callable[[], Intake]) -> None:
    intake = replica()
    for i in range(3):
        (answer,) = intake.take([row(i)])
        intake.close()
        assert isinstance(answer, Taken)
        assert answer.seq == i + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("intake")]


def test_an_intake_that_is_closed_while_rows_come_answers_all_of_them(replica: Callable[[], Intake]) -> None:
    intake = replica()

    def send(_: int) -> int:
        return sum(len(intake.take([row(i)])) for i in range(20))

    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, writer) for writer in range(6)]
        while not all(one.done() for one in sent):
            intake.close()
    assert [one.result() for one in sent] == [20] * 6
    assert intake.live.learner.seq == 120


def test_a_backup_that_is_put_back_under_a_running_worker_takes_its_learner_back_too(
    engine: sa.Engine, replica: Callable[[], Intake]
) -> None:
    """What was learned of rows that are gone is forgotten, though the log has grown past them meanwhile."""
    intake, follower = replica(), replica().live
    intake.take([row(i) for i in range(20)])
    checkpoint(engine, intake.live)
    intake.take([row(i) for i in range(20, 50)])
    follower.follow(50)

    with engine.begin() as connection:
        connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        connection.execute(sa.text("DELETE FROM events WHERE seq > 20"))
        others = "pid <> pg_backend_pid() AND datname = current_database() AND application_name = 'contender'"
        connection.execute(sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    answers: list[object] = []
    while not answers:
        with suppress(DatabaseUnreachableError):
            answers = list(intake.take([row(3 * i) for i in range(60)]))
    with suppress(DatabaseUnreachableError):
        follower.follow(80)
    follower.follow(80)

    said = straight(engine).said
    assert answers == [Taken(seq, said[seq], is_new=True) for seq in range(21, 81)]
    assert image(intake.live.learner) == image(follower.learner) == image(straight(engine))


def test_zeros_of_either_sign_leave_writer_and_reader_alike(engine: sa.Engine, replica: Callable[[], Intake]) -> None:
    (draft,) = read_rows(b'{"features": {"in_1": -0.0}, "target": -0.0}', "train").drafts
    intake = replica()

    assert intake.take([]) == []
    intake.take([draft, row(1)])

    assert image(intake.live.learner) == image(straight(engine))


def test_a_row_that_the_model_cannot_take_is_passed_over_and_told(replica: Callable[[], Intake]) -> None:
    intake = replica()

    intake.take([Draft("row", {"in_1": 1e308}, 1e308), Draft("row", {"in_1": -1e308}, -1e308), row(3)])

    assert intake.live.learner.seq == 3


def test_a_checkpoint_of_other_libraries_is_rebuilt_by_replay(engine: sa.Engine, replica: Callable[[], Intake]) -> None:
    intake = replica()
    intake.take([row(i) for i in range(30)])
    checkpoint(engine, intake.live)
    with engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(stamp="python 2.7", state=b"not to be unpickled"))

    learner = replica().live.learner

    assert (learner.seq, learner.rows_learned, learner.said) == (30, 30, {})
    assert image(learner) == image(straight(engine))


def test_a_replay_that_says_otherwise_is_refused(engine: sa.Engine, replica: Callable[[], Intake]) -> None:
    intake = replica()
    intake.take([row(i) for i in range(30)])
    checkpoint(engine, intake.live)
    with engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(stamp="python 2.7"))
        connection.execute(sa.text("UPDATE prediction_blocks SET said[20] = said[20] + 1e-6"))

    with pytest.raises(IntegrityError, match="event 20"):
        _ = replica().live.learner


def test_a_checkpoint_that_was_changed_is_not_unpickled(engine: sa.Engine, replica: Callable[[], Intake]) -> None:
    intake = replica()
    intake.take([row(1)])
    checkpoint(engine, intake.live)
    with engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(state=b"\x80\x05X\x00"))

    with pytest.raises(IntegrityError, match="not what was recorded"):
        _ = replica().live.learner
