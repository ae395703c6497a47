"""The champion of a pushed task, deleted in MLflow: who answered answers on, it is told, and there is a way back."""

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.registry import delete_alias, delete_model, delete_version
from tests.support.serving.pushed_world import PushedWorld
from training.ledger.rollback import roll_back


def test_the_live_learner_of_a_pushed_task_answers_on_and_the_loss_is_told(
    settings_with_mlflow: Settings, engine: sa.Engine
) -> None:
    world = PushedWorld(settings_with_mlflow, engine)
    version, _ = world.version(10)
    world.poller.poll()
    assert world.alerts.names() == {}

    delete_alias(world.settings, world.task.name)
    world.poller.poll()

    assert world.alerts.names() == {world.task.name: ["champion_lost"]}
    assert (world.loaded.served().mode, world.loaded.served().version) == ("live", version)
    made = roll_back(engine, world.settings, world.task.name, world.clock, to=None, who="me", why="test")
    assert (made.version, made.moved) == (version, True)
    world.poller.poll()
    assert world.alerts.names() == {}


def test_a_pushed_task_whose_model_was_deleted_goes_on_registering_where_it_was(
    settings_with_mlflow: Settings, engine: sa.Engine
) -> None:
    world = PushedWorld(settings_with_mlflow, engine)
    first, _ = world.version(10)
    second, _ = world.version(10)
    delete_model(world.settings, world.task.name)
    world.poller.poll()

    third, _ = world.version(10)

    assert world.numbers() == [first, second, third]
    assert (world.champion(), world.alerts.names()) == (None, {world.task.name: ["champion_lost"]})
    made = roll_back(engine, world.settings, world.task.name, world.clock, to=None, who="me", why="test")
    assert (made.version, world.champion()) == (second, second)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_the_pinned_version_of_a_pushed_task_answers_on_when_it_is_deleted(
    settings_with_mlflow: Settings, engine: sa.Engine, *, is_restarted: bool
) -> None:
    world = PushedWorld(settings_with_mlflow, engine)
    pinned, then = world.version(10)
    newest, _ = world.version(10)
    world.move_by_hand(pinned)
    world.register()  # writes down the move that it finds
    world.poller.poll()

    delete_version(world.settings, world.task.name, pinned)
    world.register()  # and the loss
    if is_restarted:
        world.declare(world.task)
        world.poller = world.start_polling()
    world.poller.poll()

    served = world.loaded.served()
    assert (served.mode, served.version) == ("frozen", pinned)
    assert served.predictor.predict({"in_1": 4.4}, None) == then.predict({"in_1": 4.4}, "default")
    made = roll_back(engine, world.settings, world.task.name, world.clock, to=newest, who="me", why="test")
    assert made.version == newest
    world.poller.poll()
    assert (world.loaded.served().mode, world.loaded.served().version) == ("live", newest)
