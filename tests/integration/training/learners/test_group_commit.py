"""Learners on a real Postgres: every replica the same, whatever came when."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from river import linear_model, preprocessing

from serving.pushed.parsing import read_rows
from tests.support.serving.replicas import KEY, checkpoint, fresh, image, replicas, row, straight
from training.event_log import store as event_log
from training.event_log.events import EventConflictError, NewEvent
from training.learners.group_commit import Ack, GroupCommitter


@pytest.fixture
def replica(engine: sa.Engine) -> Iterator[Callable[[], GroupCommitter]]:
    with replicas(engine) as make:
        yield make


def test_an_answer_is_the_prediction_of_the_model_that_learned_all_rows_before(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    answers = replica().take([row(i) for i in range(50)])

    by_hand = preprocessing.StandardScaler() | linear_model.LinearRegression()
    expected: list[float | None] = []
    for i in range(50):
        draft = row(i)
        expected.append(by_hand.predict_one(draft.features) if i else None)
        by_hand.learn_one(draft.features, draft.target)
    assert answers == [Ack(i + 1, said, is_new=True) for i, said in enumerate(expected)]


def test_replicas_that_take_rows_at_the_same_time_hold_the_same_model(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
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


@pytest.mark.parametrize("with_checkpoint", [False, True])
@pytest.mark.parametrize("order", [("predict", "label"), ("label", "predict")])
def test_halves_sent_apart_are_learned_once_and_scored_only_when_predicted_first(
    engine: sa.Engine, replica: Callable[[], GroupCommitter], order: tuple[str, str], with_checkpoint: bool
) -> None:
    intake = replica()
    intake.take([row(i) for i in range(10)])
    halves = {"predict": NewEvent("predict", {"in_1": 3.0}, None, "a"), "label": NewEvent("label", None, 4.0, "a")}
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


def test_a_conflict_is_answered_alone(replica: Callable[[], GroupCommitter]) -> None:
    intake = replica()
    intake.take([row(1, event_id="a")])

    conflict, fine = intake.take([row(2, event_id="a"), row(2, event_id="b")])

    assert isinstance(conflict, EventConflictError)
    assert isinstance(fine, Ack)


def test_while_learning_is_paused_rows_are_predicted_and_when_it_goes_on_they_are_learned(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    intake = replica()
    intake.take([row(i) for i in range(10)])
    intake.take([NewEvent("pause")])
    frozen = intake.live.predict({"in_1": 1.0, "in_2": 1.0}, None)
    intake.take([row(i) for i in range(10, 20)])
    assert intake.live.predict({"in_1": 1.0, "in_2": 1.0}, None) == frozen
    assert intake.live.learner.scores["default"].report()["count"] == 19

    checkpoint(engine, intake.live)
    intake = replica()
    intake.take([NewEvent("resume")])

    plain = fresh()
    with event_log.session(engine) as connection:
        plain.replay(event_log.read(connection, KEY, 0, 100))
    assert intake.live.learner.rows_learned == 20
    assert intake.live.predict({"in_1": 1.0, "in_2": 1.0}, None) == plain.model.predict(
        {"in_1": 1.0, "in_2": 1.0}, "default"
    )


def test_an_intake_that_was_closed_opens_for_whoever_comes_late(replica: Callable[[], GroupCommitter]) -> None:
    intake = replica()
    for i in range(3):
        (answer,) = intake.take([row(i)])
        intake.close()
        assert isinstance(answer, Ack)
        assert answer.seq == i + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("intake")]


def test_an_intake_that_is_closed_while_rows_come_answers_all_of_them(replica: Callable[[], GroupCommitter]) -> None:
    intake = replica()

    def send(_: int) -> int:
        return sum(len(intake.take([row(i)])) for i in range(20))

    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, writer) for writer in range(6)]
        while not all(one.done() for one in sent):
            intake.close()
    assert [one.result() for one in sent] == [20] * 6
    assert intake.live.learner.seq == 120


def test_zeros_of_either_sign_leave_writer_and_reader_alike(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    (draft,) = read_rows(b'{"features": {"in_1": -0.0}, "target": -0.0}', "train").drafts
    intake = replica()

    assert intake.take([]) == []
    intake.take([draft, row(1)])

    assert image(intake.live.learner) == image(straight(engine))


def test_a_row_that_the_model_cannot_take_is_passed_over_and_told(replica: Callable[[], GroupCommitter]) -> None:
    intake = replica()

    intake.take([NewEvent("row", {"in_1": 1e308}, 1e308), NewEvent("row", {"in_1": -1e308}, -1e308), row(3)])

    assert intake.live.learner.seq == 3
