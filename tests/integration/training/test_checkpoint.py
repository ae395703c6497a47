"""The job that stores every learner, whether an API runs or not."""

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.errors import BusyError
from core.jobs import leases
from tests.support.serving.pushed_world import PushedWorld, rows
from training import checkpoint
from training.learners import checkpoints


@pytest.fixture
def world(settings_with_registry: Settings, engine: sa.Engine) -> PushedWorld:
    return PushedWorld(settings_with_registry, engine)


def send(world: PushedWorld, count: int = 7) -> None:
    """Rows are learned; no worker has stored them yet."""
    world.loaded.committer.submit(rows(0, count))


def test_what_was_learned_since_the_last_checkpoint_is_stored_and_becomes_a_version(world: PushedWorld) -> None:
    send(world)

    report = checkpoint.store(world.settings, world.clock)

    stored = checkpoints.newest(world.engine, world.loaded.running.key)
    assert report.stored == {f"{world.task.name}/linear": 7}
    assert stored is not None
    assert stored.last_seq == 7
    assert [version.rows_trained for version in report.registered.versions] == [7]
    assert (world.numbers(), world.champion()) == ([1], 1)


def test_a_second_run_finds_nothing_to_do(world: PushedWorld) -> None:
    send(world)
    checkpoint.store(world.settings, world.clock)

    again = checkpoint.store(world.settings, world.clock)

    assert again.sentence() == ("stored nothing: every learner is; nothing to do: no checkpoint waits to be registered")


def test_while_another_process_stores_the_learner_it_is_tried_again(
    world: PushedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "WAIT_SECONDS", 0.1)
    send(world)
    key = world.loaded.running.key

    with leases.hold(world.engine, f"learner/{key.log}/{key.contender}"), pytest.raises(BusyError):
        checkpoint.store(world.settings, world.clock)

    assert checkpoint.store(world.settings, world.clock).stored == {f"{world.task.name}/linear": 7}


def test_a_task_that_cannot_be_used_does_not_keep_the_others_from_it(world: PushedWorld) -> None:
    (world.settings.tasks / "broken.yaml").write_text("name: broken\nsource: pushed\n")
    send(world)

    report = checkpoint.store(world.settings, world.clock)

    assert report.stored == {f"{world.task.name}/linear": 7}
    assert len(report.failures) == 1
    assert "1 failed" in report.sentence()
