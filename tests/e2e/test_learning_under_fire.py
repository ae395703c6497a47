"""Three replicas learn 20,000 events while each of them is killed again and again, and Postgres is stopped twice."""

import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contender.servers.processes import Postgres
from core.config.settings import Settings
from core.config.task_files import load_pushed
from core.db.engine import connect, migrate
from core.db.event_tables import checkpoints, events
from tests.support.e2e.fire import (
    Gate,
    Replica,
    Said,
    Writer,
    gathered,
    replicas,
    stop_postgres,
    wait_for_replicas,
    wait_until,
    write_task,
)
from tests.support.e2e.fire_load import WRITERS, Load, plan
from training.event_log import store as event_log
from training.event_log.store import LearnerKey
from training.learners import checkpoints as store
from training.learners.learner import Learner
from training.models.online_catalog import declared

pytestmark = pytest.mark.timeout(600)

EVENTS = 20_000
KILLS = 30
REPLICAS = 3
STOPS = ("fast", "immediate")
BEYOND = 120
"""Events that are let pass after the one at which something is killed: it is under load before and after."""
SEED = 20_000
TASK = """
name: live
title: What comes next?
source: pushed
target: {kind: value}
contenders:
  linear_regression: {procedure: linear_regression}
serves: linear_regression
checkpoint: {events: 500, seconds: 1}
"""
PROBES = [{"features": {"in_1": i / 7, "in_2": -i / 3, "in_3": 1.5}} for i in range(-10, 11)]


@dataclass(frozen=True)
class Aftermath:
    """What stands when the last event was acknowledged."""

    engine: sa.Engine
    settings: Settings
    load: Load
    said: Said
    fleet: list[Replica]
    log: list[Any]
    straight: Learner

    @property
    def key(self) -> LearnerKey:
        task = load_pushed(self.settings.tasks, "live")
        return LearnerKey("live", "linear_regression", task.contender_hash("linear_regression"))

    def is_stored(self) -> bool:
        """Whether the newest checkpoint was written; a writer that was killed holds its lease for half a minute."""
        newest = store.newest(self.engine, self.key)
        return newest is not None and newest.last_seq == EVENTS


def fresh() -> Learner:
    return Learner(declared("linear_regression", {}, "value").online("value", 7), "value")


def image(learner: Learner) -> bytes:
    """The learner's bytes after a round trip, in which equal learners are equal."""
    return Learner.deserialize(learner.serialize()).serialize()


def straight_run(engine: sa.Engine) -> Learner:
    """One uninterrupted run over the log; nothing that was stored of predictions is known to it."""
    learner = fresh()
    with event_log.session(engine) as connection:
        learner.apply(event_log.read(connection, LearnerKey("live", "", ""), 0, 2 * EVENTS), lambda *_: ())
    return learner


def set_fire(seed: int, postgres: Postgres, fleet: list[Replica], load: Load) -> tuple[Said, dict[str, Any]]:
    """Runs the load, and kills and stops in its midst. Returns what the writers were told, and some figures."""
    chance = random.Random(seed)
    kills = [(at, "") for at in chance.sample(range(100, EVENTS - 100), KILLS)]
    stops = [(round(EVENTS * (i + chance.random()) / len(STOPS)), how) for i, how in enumerate(STOPS)]
    gate, began = Gate(), time.monotonic()
    writers = [Writer(number, load, fleet, gate) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    victims: Counter[str] = Counter()
    for at, how in sorted(kills + stops):
        wait_for_replicas(fleet, REPLICAS - 1)
        gate.open(at + BEYOND)
        gate.wait_for(at)
        time.sleep(chance.uniform(0, 0.01))
        if how:
            stop_postgres(postgres, how)  # type: ignore[arg-type]
            time.sleep(chance.uniform(0.1, 0.5))
            postgres.start()
        else:
            victim = chance.choice(fleet)
            victims[victim.name] += 1
            victim.kill()
            victim.start()
    gate.open(float("inf"))
    gate.wait_for(EVENTS)
    for writer in writers:
        writer.join(60)
    seconds = time.monotonic() - began
    wait_for_replicas(fleet, REPLICAS)
    return gathered(writers), {"seconds": round(seconds, 1), "per_second": round(EVENTS / seconds), "kills": victims}


def stored_halves(log: list[Any]) -> dict[tuple[str, str], list[Any]]:
    """The events that hold each half of each row."""
    halves: dict[tuple[str, str], list[Any]] = {}
    for event in log:
        for half in ("features", "target"):
            if getattr(event, half) is not None:
                halves.setdefault((event.event_id, half), []).append(event)
    return halves


def answered_late(log: list[Any], said: Said) -> int:
    """Rows that were stored before the attempt began which was answered: the answer to an earlier one was lost."""
    stored = {half: found[0].recorded_at.timestamp() for half, found in stored_halves(log).items()}
    return sum(
        all(stored[event_id, half] < began for half in halves) for (event_id, halves), began in said.sent_at.items()
    )


@pytest.fixture(scope="module")
def seed() -> int:
    return SEED


@pytest.fixture(scope="module")
def aftermath(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    folder: Path = tmp_path_factory.mktemp("fire")
    postgres = Postgres(folder / "postgres" / "data")
    settings = Settings(
        home=folder,
        tasks=write_task(folder / "tasks", TASK),
        database_url=postgres.database("contender"),
        mlflow_url="http://127.0.0.1:9",
        alias_poll_seconds=60,
    )
    engine = connect(settings.database_url)
    try:
        migrate(engine)
        load = plan(seed, EVENTS)
        with replicas(settings, REPLICAS) as fleet:
            said, figures = set_fire(seed, postgres, fleet, load)
            with engine.connect() as connection:
                log = list(connection.execute(sa.select(events).order_by(events.c.seq)))
            figures |= {"retries": dict(said.retries), "answered_late": answered_late(log, said)}
            logging.getLogger(__name__).info("under fire: %s", figures)
            aftermath = Aftermath(engine, settings, load, said, fleet, log, straight_run(engine))
            wait_until(aftermath.is_stored, "the newest checkpoint stands after the last event")
            yield aftermath
    finally:
        engine.dispose()
        postgres.stop()


def test_the_fire_was_one(aftermath: Aftermath) -> None:
    """Answers were lost after their events had been stored, and both kinds of failure were met."""
    troubles = aftermath.said.retries

    assert answered_late(aftermath.log, aftermath.said) > 0
    assert any(trouble.startswith("503") for trouble in troubles), troubles
    assert any(not trouble.startswith("503") for trouble in troubles), troubles


def test_every_acknowledged_event_is_in_the_log_exactly_once(aftermath: Aftermath) -> None:
    halves = stored_halves(aftermath.log)

    assert [event.seq for event in aftermath.log] == list(range(1, EVENTS + 1))
    assert {half for half, found in halves.items() if len(found) > 1} == set()
    stored = {
        event_id: {half: getattr(halves[event_id, half][0], half) for half in ("features", "target")}
        for event_id in aftermath.load.rows
    }
    assert stored == {
        event_id: {"features": row["features"], "target": row["target"]}
        for event_id, row in aftermath.load.rows.items()
    }


def test_halves_came_in_every_order(aftermath: Aftermath) -> None:
    by_seq = {event.seq: event for event in aftermath.log}
    apart = [
        (event.kind, event.seq - event.ref_seq, by_seq[event.ref_seq].kind) for event in aftermath.log if event.ref_seq
    ]

    for kind, before in (("label", "predict"), ("predict", "label")):
        distances = [distance for at, distance, ref in apart if (at, ref) == (kind, before)]
        assert min(distances) < 10, "some at the same time"
        assert sum(distance > 200 for distance in distances) > 100, "many long after"


def test_no_row_is_learned_twice(aftermath: Aftermath) -> None:
    for replica in aftermath.fleet:
        info = replica.ask("GET", "/model_metrics")[1]["model_info"]

        assert (info["last_event_id"], info["rows_learned"], info["rows_refused"]) == (
            EVENTS,
            len(aftermath.load.rows),
            0,
        )


def test_the_replicas_say_what_one_uninterrupted_run_says(aftermath: Aftermath) -> None:
    told = [replica.ask("GET", "/model_metrics")[1] for replica in aftermath.fleet]
    predictions = [replica.ask("POST", "/predict", PROBES)[1] for replica in aftermath.fleet]

    expected = [{"prediction": aftermath.straight.predict(probe["features"], "default")} for probe in PROBES]
    assert predictions == [expected] * REPLICAS
    assert told == [told[0]] * REPLICAS
    assert {name: figures for name, figures in told[0].items() if name != "model_info"} == aftermath.straight.report()


def test_every_checkpoint_with_what_follows_it_is_the_uninterrupted_run(aftermath: Aftermath) -> None:
    with aftermath.engine.connect() as connection:
        kept = connection.execute(sa.select(checkpoints.c.last_seq, checkpoints.c.state)).all()

    assert len(kept) >= store.KEPT  # one more is kept where a version is to be made of it
    learners = [
        store.restore(aftermath.engine, aftermath.key, fresh),
        *(Learner.deserialize(state) for _, state in kept),
    ]
    assert {learner.seq for learner in learners} == {last_seq for last_seq, _ in kept}
    for learner in learners:
        with event_log.session(aftermath.engine) as connection:
            learner.apply(event_log.read(connection, aftermath.key, learner.seq, EVENTS), lambda *_: ())
        assert image(learner) == image(aftermath.straight)


def test_every_answer_is_the_prediction_of_the_uninterrupted_run(aftermath: Aftermath) -> None:
    """Whoever gave it, and however often it was asked for."""
    at = {event.event_id: event.seq for event in aftermath.log if event.features is not None}

    expected = {
        event_id: [aftermath.straight.predictions[at[event_id]]] * len(answers)
        for event_id, answers in aftermath.said.predictions.items()
    }
    assert aftermath.said.predictions == expected
    assert sum(len(answers) > 1 for answers in expected.values()) > 200


def test_what_is_stored_of_predictions_is_what_the_uninterrupted_run_said(aftermath: Aftermath) -> None:
    with aftermath.engine.connect() as connection:
        stored = dict(connection.execute(sa.text("SELECT seq, value FROM event_predictions")).all())

    assert stored == {seq: value for seq, value in aftermath.straight.predictions.items() if value is not None}
