"""From checkpoints to versions in a real MLflow: once a session, whoever dies, whatever is away."""

import math
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from core.config.pushed_tasks import Input, OnlineContender, PushedTarget
from core.config.settings import Settings
from core.db.event_tables import checkpoints
from core.db.pipeline_tables import decisions
from core.errors import RegistryUnreachableError
from tests.support.registry import registry_class
from tests.support.serving.pushed_world import PushedWorld, a_pushed_task, features
from tests.support.training.ledger import ledger_rows
from training.event_log.events import NewEvent
from training.learners import outbox
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION
from training.registry import flavor, registration, versions

AWAY = "http://127.0.0.1:9"


@pytest.fixture
def world(settings_with_mlflow: Settings, engine: sa.Engine) -> PushedWorld:
    return PushedWorld(settings_with_mlflow, engine)


def decided(world: PushedWorld) -> list[tuple[str, str]]:
    with world.engine.connect() as connection:
        of_task = sa.select(decisions.c.outcome, decisions.c.reason).where(decisions.c.task == world.task.name)
        return [(row.outcome, row.reason) for row in connection.execute(of_task.order_by(decisions.c.id))]


def load(world: PushedWorld, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", world.settings.mlflow_url)
    return flavor.pyfunc().load_model(f"models:/{world.task.name}@champion")


def test_a_session_of_many_checkpoints_has_one_version_and_the_first_one_is_champion(world: PushedWorld) -> None:
    for _ in range(5):
        world.learn(3)
    first = world.register()
    world.learn(3)
    second = world.register()

    assert [(row.last_seq, row.version) for row in world.outbox()] == [(3, 1)]
    assert [(one.version, one.rows_trained, one.kind) for one in first.versions] == [(1, 3, "incremental")]
    assert second.sentence() == "nothing to do: no checkpoint waits to be registered"
    assert (world.numbers(), world.champion()) == ([1], 1)
    assert decided(world) == [("BOOTSTRAP", "first_version")]
    assert versions.has_bundle(world.engine, first.versions[0].artifact_digest)
    with world.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(checkpoints)).scalar_one() == 4


def test_another_session_has_another_version_which_the_champion_follows(world: PushedWorld) -> None:
    world.version(5)
    world.version(5)

    assert (world.numbers(), world.champion()) == ([1, 2], 2)
    assert decided(world) == [("BOOTSTRAP", "first_version"), ("PROMOTE", "refresh")]
    assert [entry.phase for entry in ledger_rows(world.engine, world.task.name)] == ["intent", "confirmed"] * 2


def test_a_session_in_which_nothing_was_learned_has_no_version(world: PushedWorld) -> None:
    world.version(5)
    world.day += 1

    world.loaded.committer.submit([NewEvent("predict", {"in_1": 1.0})])
    world.learn(0)

    assert len(world.outbox()) == 1
    assert world.register().versions == ()


def test_a_version_says_what_it_was_made_of(world: PushedWorld) -> None:
    from mlflow import MlflowClient

    world.version(40)

    client = MlflowClient(world.settings.mlflow_url, world.settings.mlflow_url)
    version = client.get_model_version(world.task.name, "1")
    run = client.get_run(version.run_id)
    assert version.tags["contender"] == "linear"
    assert (version.tags["kind"], version.tags["last_event_id"]) == ("incremental", "40")
    assert version.tags["trained_through"] == "2024-01-02"
    assert {"artifact_digest", "code_version", "stamp", "data_hash", "contender_hash"} <= set(version.tags)
    assert run.info.status == "FINISHED"
    assert run.data.params["procedure"] == "linear_regression"
    assert run.data.params["features"] == "in_2, in_3, in_1"
    assert run.data.metrics["mae"] == world.loaded.running.learner.report()["default"]["mae"]


def test_the_registered_model_predicts_as_the_learner_did_to_the_bit(
    world: PushedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, learner = world.version(60)
    world.learn(60)
    asked = [features(n) for n in range(60, 75)]

    said = load(world, monkeypatch).predict(pd.DataFrame(asked, columns=["in_1", "in_2", "in_3"]))

    assert said.tolist() == [learner.predict(row, "default") for row in asked]


def test_a_binary_task_with_declared_features_has_a_signature_and_says_p_of_1(
    settings_with_mlflow: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = a_pushed_task(
        target=PushedTarget(kind="binary"),
        contenders={"logistic": OnlineContender(procedure="logistic_regression")},
        serves="logistic",
        inputs={"in_1": Input(required=True), "in_2": Input()},
        others="refuse",
    )
    world = PushedWorld(settings_with_mlflow, engine, task)
    world.loaded.committer.submit([NewEvent("row", {"in_1": n % 7.0}, float(n % 7 > 3)) for n in range(50)])
    _, learner = world.version(0)

    model = load(world, monkeypatch)

    assert [(one.name, one.required) for one in model.metadata.signature.inputs] == [
        ("in_1", True), ("in_2", False), ("series_id", False),
    ]  # fmt: skip
    said = model.predict(pd.DataFrame([{"in_1": 6.0}, {"in_1": 0.0}])).tolist()
    assert said == [learner.predict({"in_1": 6.0}, "default"), learner.predict({"in_1": 0.0}, "default")]
    assert said[1] < 0.5 < said[0]


def test_a_model_that_says_nothing_yet_says_nan(
    settings_with_mlflow: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = a_pushed_task(contenders={"hw": OnlineContender(procedure="holt_winters")}, serves="hw")
    world = PushedWorld(settings_with_mlflow, engine, task)
    world.loaded.committer.submit([NewEvent("row", {}, 100.0 + n % 12, series_id="airline") for n in range(60)])
    _, learner = world.version(0)

    said = load(world, monkeypatch).predict(pd.DataFrame({"series_id": ["airline", "other"]}))

    assert said[0] == learner.predict({}, "airline")
    assert math.isnan(said[1])


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (None, "create_version"),
        (registration.versions, "record"),
        (None, "set_alias"),
        (ledger, "write"),
        (outbox, "settle"),
    ],
)
@pytest.mark.parametrize("is_done", [False, True])
def test_killed_before_or_after_a_step_and_run_again_there_is_one_version(
    world: PushedWorld, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, is_done: bool
) -> None:
    world.learn(5)
    where = where or registry_class(world.settings)
    step = getattr(where, name)

    def die(*arguments: Any, **named: Any) -> None:
        if is_done:
            step(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, name, die)
        with pytest.raises(KeyboardInterrupt):
            world.register()

    world.register()

    assert (world.numbers(), world.champion()) == ([1], 1)
    assert [row.version for row in world.outbox()] == [1]
    assert set(decided(world)) == {("BOOTSTRAP", "first_version")}
    assert ledger.unfinished(world.engine, world.task.name) == []
    assert world.register().versions == ()


def test_without_mlflow_it_waits_and_is_registered_when_mlflow_is_back(world: PushedWorld) -> None:
    world.learn(5)
    assert outbox.is_due(world.engine, [world.task.name])

    for _ in range(2):
        with pytest.raises(RegistryUnreachableError):
            world.register(mlflow_url=AWAY)
    world.day += 1
    world.learn(5)

    (waits, _) = world.outbox()
    assert (waits.version, waits.attempts) == (None, 2)
    assert "did not answer" in waits.trouble
    assert not outbox.is_due(world.engine, ["another"])
    assert [one.rows_trained for one in world.register().versions] == [5, 10]
    assert [(row.version, row.trouble) for row in world.outbox()] == [(1, ""), (2, "")]
    assert world.champion() == 2


def test_what_has_just_failed_is_not_due_at_once(world: PushedWorld) -> None:
    world.learn(5)
    with pytest.raises(RegistryUnreachableError):
        world.register(mlflow_url=AWAY)

    assert not outbox.is_due(world.engine, [world.task.name])
    with world.engine.begin() as connection:
        connection.execute(sa.text("UPDATE registrations SET asked_at = asked_at - interval '31 seconds'"))
    assert outbox.is_due(world.engine, [world.task.name])


def test_a_checkpoint_that_was_changed_is_passed_over_and_the_next_is_registered(world: PushedWorld) -> None:
    world.learn(5)
    world.day += 1
    world.learn(5)
    with world.engine.begin() as connection:
        connection.execute(sa.update(checkpoints).where(checkpoints.c.last_seq == 5).values(state=b"\x80\x05X\x00"))

    report = world.register()

    assert [one.rows_trained for one in report.versions] == [10]
    assert "not what was recorded" in report.failures[0].problem
    assert [(row.version, row.attempts) for row in world.outbox()] == [(None, 1), (1, 1)]


def test_a_checkpoint_of_other_libraries_is_rebuilt_and_registered(world: PushedWorld) -> None:
    world.learn(20)
    with world.engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(stamp="python 2.7", state=b"not to be unpickled"))

    (version,) = world.register().versions

    assert version.golden["expected"][0] == pytest.approx(world.loaded.running.learner.predict(features(19), "default"))


def test_a_champion_moved_by_hand_stays_until_it_is_released(world: PushedWorld) -> None:
    world.version(5)
    world.version(5)
    world.move_by_hand(1)

    world.version(5)
    assert world.champion() == 1
    assert ledger_rows(world.engine, world.task.name)[-1].phase == "external"

    with world.engine.begin() as connection:
        ledger.release(connection, world.task.name, CHAMPION, who="me", why="enough", at=world.clock.now())
    world.register()
    assert world.champion() == 3


def test_the_contender_that_the_task_serves_takes_the_title(world: PushedWorld) -> None:
    world.version(5)

    world.declare(world.task.model_copy(update={"serves": "knn"}))
    world.version(5)

    assert (world.numbers(), world.champion()) == ([1, 2], 2)
    assert decided(world)[-1] == ("PROMOTE", "declared")
