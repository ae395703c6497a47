"""The champion of a task with a stored source: on the newest version of what learns row by row, the learner answers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
import yaml
from structlog.testing import capture_logs

from core.config.settings import Settings
from core.db.event_tables import checkpoints
from core.db.pipeline_tables import predictions as answers
from core.errors import RegistryUnreachableError
from serving.champion.predictor import Latest
from serving.runtime import reloads
from tests.support.serving.world import Api, World, open_api
from tests.support.stage import SERIES, Stage, a_task, month, wave
from tests.support.waiting import wait_for
from training.evaluation import predictions
from training.event_log import dataset_log
from training.ledger import entries as ledger
from training.registry import versions
from training.registry.versions import Version

MONTHS = 40
VALUES = wave(MONTHS + 3)
HEAD = MONTHS - 3


@pytest.fixture
def world(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Any) -> World:
    """A trained task, whose champion is `linear`."""
    task = a_task(scored_from=1000)
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / f"{task.name}.yaml").write_text(yaml.safe_dump(task.model_dump(mode="json")))
    settings = settings_with_registry.model_copy(update={"tasks": folder, "alias_poll_seconds": 0.2})
    stage = Stage(settings, engine, task)
    stage.put(VALUES[:MONTHS])
    made = World(stage, settings, stage.train().versions)
    made.crown(of(made, "linear"))
    return made


def of(world: World, contender: str) -> Version:
    return next(version for version in world.versions if version.contender == contender)


def learn_without_a_version(world: World, months: int = 1) -> None:
    """Later months come, and are learned while MLflow is away, so that no version is made."""
    stage = world.stage
    stage.put(VALUES[stage.months : stage.months + months])
    away = Stage(
        stage.settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9"}), stage.engine, stage.task, stage.months
    )
    with pytest.raises(RegistryUnreachableError):
        away.train()


def newest_said(world: World, contender: str) -> float:
    """What the training job has recorded for the month to come."""
    board = predictions.scoreboard(world.stage.engine, world.stage.task, SERIES)
    value: float = board.filter(pl.col("contender") == contender)["value"][-1]
    return value


def said_of_latest(api: Api, world: World) -> float:
    """What the version itself says of the data that the API stands on."""
    prediction = api.service.state.predictions[world.stage.task.name]
    row = pl.DataFrame([prediction.latest.row.features]).to_numpy()
    return float(prediction.champion.model.predict(row)[0])


def answer_is(api: Api, world: World, **fields: object) -> Callable[[], bool]:
    return lambda: fields.items() <= api.ask(world.path).items()


def test_on_the_newest_version_the_live_learner_answers_and_says_how_far_it_has_learned(world: World) -> None:
    with open_api(world.settings) as api:
        wait_for(answer_is(api, world, last_event_id=HEAD))
        for _ in range(3):
            api.ask(world.path)  # the same reply, kept

        learn_without_a_version(world)
        wait_for(answer_is(api, world, last_event_id=HEAD + 1))

        told, frozen = api.ask(world.path), said_of_latest(api, world)
        (task,) = api.ask("/info")["tasks"]

    assert told["model_version"] == of(world, "linear").version
    assert told["prediction"] == newest_said(world, "linear") != frozen
    assert task["champion"]["last_event_id"] == HEAD + 1
    assert task["champion"]["trained_through"] == of(world, "linear").trained_through.isoformat()
    logged = sa.select(answers.c.last_event_id, answers.c.value).order_by(answers.c.made_at)
    with world.stage.engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(logged)]
    assert rows[-1] == (HEAD + 1, told["prediction"])
    assert HEAD in {seq for seq, _ in rows}


def test_an_older_version_answers_frozen_with_the_event_it_was_made_after(world: World) -> None:
    with open_api(world.settings) as api:
        wait_for(answer_is(api, world, last_event_id=HEAD))
        world.stage.put(VALUES[MONTHS : MONTHS + 1])
        newer = world.stage.train().versions

        newest = month(MONTHS + 1).isoformat()
        wait_for(answer_is(api, world, target_date=newest, last_event_id=HEAD))  # the alias has stayed where it was
        assert api.ask(world.path)["prediction"] == said_of_latest(api, world) != newest_said(world, "linear")

        world.crown(next(version for version in newer if version.contender == "linear"))
        wait_for(answer_is(api, world, last_event_id=HEAD + 1))
        assert api.ask(world.path)["prediction"] == newest_said(world, "linear")


def test_a_pinned_version_answers_frozen_until_it_is_released(world: World) -> None:
    stage, version = world.stage, of(world, "linear")
    move = ledger.new_move(stage.task.name, ledger.CHAMPION, None, version.version, who="a person", why="test")
    with stage.engine.begin() as connection:
        ledger.write(connection, "external", move, stage.clock.now())
    learn_without_a_version(world)

    with open_api(world.settings) as api:
        wait_for(answer_is(api, world, last_event_id=HEAD))
        assert api.ask(world.path)["prediction"] == said_of_latest(api, world)

        with stage.engine.begin() as connection:
            assert ledger.release(
                connection, stage.task.name, ledger.CHAMPION, who="a person", why="test", at=stage.clock.now()
            )

        wait_for(answer_is(api, world, last_event_id=HEAD + 1, prediction=newest_said(world, "linear")))


def test_what_is_refitted_stands_in_no_log(world: World) -> None:
    world.crown(of(world, "ridge"))

    with open_api(world.settings) as api:
        wait_for(answer_is(api, world, contender="ridge"))
        told = api.ask(world.path)
        (task,) = api.ask("/info")["tasks"]

    assert "last_event_id" not in told
    assert "last_event_id" not in task["champion"]


def test_baselines_that_learn_row_by_row_answer_live_too(world: World) -> None:
    world.crown(of(world, "naive"))

    with open_api(world.settings) as api:
        wait_for(answer_is(api, world, contender="naive", last_event_id=HEAD))
        learn_without_a_version(world)
        wait_for(answer_is(api, world, last_event_id=HEAD + 1, prediction=VALUES[MONTHS]))


def test_a_checkpoint_that_cannot_be_read_leaves_the_version_frozen_and_is_told_once(world: World) -> None:
    learn_without_a_version(world)
    with world.stage.engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(state=b"not what was recorded"))

    with capture_logs() as logs, open_api(world.settings) as api:
        wait_for(answer_is(api, world, last_event_id=HEAD))
        polled = api.service.state.registry_answered_at
        wait_for(lambda: (api.service.state.registry_answered_at or 0) > (polled or 0) + 1)
        told = api.ask(world.path)
        frozen = said_of_latest(api, world)

    assert told["prediction"] == frozen
    assert [entry["task"] for entry in logs if "answers frozen" in entry["event"]] == [world.stage.task.name]
    assert not [entry for entry in logs if "failed" in entry["event"]]


def test_a_learner_of_other_libraries_is_rebuilt_by_replay(world: World) -> None:
    learn_without_a_version(world)
    with world.stage.engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(stamp="python 2.7", state=b"no pickle of ours"))

    with open_api(world.settings) as api:
        wait_for(answer_is(api, world, last_event_id=HEAD + 1))

        assert api.ask(world.path)["prediction"] == newest_said(world, "linear")


def test_after_a_reload_the_learner_answers_again(world: World) -> None:
    learn_without_a_version(world)
    with open_api(world.settings) as api:
        wait_for(answer_is(api, world, last_event_id=HEAD + 1))
        follower = api.service.stored._followers[world.stage.task.name]
        learner = follower._learner._running

        reloads.request(world.stage.engine, world.stage.task.name, who="test", why="test")

        wait_for(lambda: follower._learner._running not in (None, learner))
        wait_for(answer_is(api, world, last_event_id=HEAD + 1))


def test_a_notice_of_the_log_is_followed_before_the_next_poll_is_due(world: World) -> None:
    with open_api(world.settings.model_copy(update={"alias_poll_seconds": 300.0})) as api:
        wait_for(answer_is(api, world, last_event_id=HEAD))

        learn_without_a_version(world)

        wait_for(answer_is(api, world, last_event_id=HEAD + 1))


def test_a_learner_that_knows_what_is_to_be_predicted_does_not_answer(world: World) -> None:
    """The log may be ahead of the data for a moment: then the answer would be no prediction."""
    with open_api(world.settings) as api:
        wait_for(answer_is(api, world, last_event_id=HEAD))
        follower = api.service.stored._followers[world.stage.task.name]
        learner, prediction = follower._learner, api.service.state.predictions[world.stage.task.name]
        assert learner.position is not None
        assert learner.position.learned_through == prediction.latest.row.event_date
        earlier = replace(prediction.latest.row, event_date=world.stage.task.start)

        champion = learner.answering(prediction.champion, Latest(earlier, SERIES, "airline", "0" * 16))

        assert champion.learner is None
        assert learner.answering(prediction.champion, prediction.latest).learner is not None


def test_the_event_of_a_version_is_that_of_the_last_date_it_learned(world: World) -> None:
    version, log = of(world, "linear"), dataset_log.name(world.stage.task, SERIES)
    engine = world.stage.engine

    assert dataset_log.seq_of(engine, log, version.trained_through) == HEAD
    assert dataset_log.date_of(engine, log, HEAD) == version.trained_through
    assert dataset_log.seq_of(engine, "another", version.trained_through) is None
    assert dataset_log.date_of(engine, log, HEAD + 1) is None
    assert versions.newest(engine, world.stage.task, SERIES, "linear") == version
