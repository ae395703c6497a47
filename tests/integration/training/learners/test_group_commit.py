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
    answers = replica().submit([row(i) for i in range(50)])

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
            replicas[chance.randrange(3)].submit([row(i, event_id=f"{writer}-{i}"), row(i, event_id=f"shared-{i}")])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, range(6)))

    for committer in replicas:
        with committer.running.at_head() as learner:
            assert (learner.seq, learner.rows_learned) == (6 * 25 + 25, 6 * 25 + 25)
            assert image(learner) == image(straight(engine))


@pytest.mark.parametrize("with_checkpoint", [False, True])
@pytest.mark.parametrize("order", [("predict", "label"), ("label", "predict")])
def test_halves_sent_apart_are_learned_once_and_scored_only_when_predicted_first(
    engine: sa.Engine, replica: Callable[[], GroupCommitter], order: tuple[str, str], with_checkpoint: bool
) -> None:
    committer = replica()
    committer.submit([row(i) for i in range(10)])
    halves = {"predict": NewEvent("predict", {"in_1": 3.0}, None, "a"), "label": NewEvent("label", None, 4.0, "a")}
    scored_before = committer.running.learner.scores["default"].report()["count"]

    committer.submit([halves[order[0]]])
    if with_checkpoint:
        checkpoint(engine, committer.running)
        committer = replica()
    committer.submit([halves[order[1]]])

    learner = committer.running.learner
    assert learner.rows_learned == 11
    assert learner.scores["default"].report()["count"] == scored_before + (order[0] == "predict")
    assert image(learner) == image(straight(engine))


def test_a_conflict_is_answered_alone(replica: Callable[[], GroupCommitter]) -> None:
    committer = replica()
    committer.submit([row(1, event_id="a")])

    conflict, fine = committer.submit([row(2, event_id="a"), row(2, event_id="b")])

    assert isinstance(conflict, EventConflictError)
    assert isinstance(fine, Ack)


def test_while_learning_is_paused_rows_are_predicted_and_when_it_goes_on_they_are_learned(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    committer = replica()
    committer.submit([row(i) for i in range(10)])
    committer.submit([NewEvent("pause")])
    frozen = committer.running.predict({"in_1": 1.0, "in_2": 1.0}, None)
    committer.submit([row(i) for i in range(10, 20)])
    assert committer.running.predict({"in_1": 1.0, "in_2": 1.0}, None) == frozen
    assert committer.running.learner.scores["default"].report()["count"] == 19

    checkpoint(engine, committer.running)
    committer = replica()
    committer.submit([NewEvent("resume")])

    plain = fresh()
    with event_log.session(engine) as connection:
        plain.replay(event_log.read(connection, KEY, 0, 100))
    assert committer.running.learner.rows_learned == 20
    assert committer.running.predict({"in_1": 1.0, "in_2": 1.0}, None) == plain.model.predict(
        {"in_1": 1.0, "in_2": 1.0}, "default"
    )


def test_a_committer_that_was_closed_starts_again_with_the_next_event(replica: Callable[[], GroupCommitter]) -> None:
    committer = replica()
    for i in range(3):
        (answer,) = committer.submit([row(i)])
        committer.close()
        assert isinstance(answer, Ack)
        assert answer.seq == i + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("group-commit")]


def test_a_committer_that_is_closed_while_rows_come_answers_all_of_them(replica: Callable[[], GroupCommitter]) -> None:
    committer = replica()

    def send(_: int) -> int:
        return sum(len(committer.submit([row(i)])) for i in range(20))

    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, writer) for writer in range(6)]
        while not all(one.done() for one in sent):
            committer.close()
    assert [one.result() for one in sent] == [20] * 6
    assert committer.running.learner.seq == 120


def test_zeros_of_either_sign_leave_writer_and_reader_alike(
    engine: sa.Engine, replica: Callable[[], GroupCommitter]
) -> None:
    (draft,) = read_rows(b'{"features": {"in_1": -0.0}, "target": -0.0}', "train").events
    committer = replica()

    assert committer.submit([]) == []
    committer.submit([draft, row(1)])

    assert image(committer.running.learner) == image(straight(engine))


def test_a_row_that_the_model_cannot_take_is_passed_over_and_told(replica: Callable[[], GroupCommitter]) -> None:
    committer = replica()

    committer.submit([NewEvent("row", {"in_1": 1e308}, 1e308), NewEvent("row", {"in_1": -1e308}, -1e308), row(3)])

    assert committer.running.learner.seq == 3
