"""What a replay does not begin with, and what it says instead."""

import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from rich.console import Console

from contender import replay, replay_place
from core.errors import ConfigurationError, DataRefusedError, NotFoundError, RegistryUnreachableError
from core.settings import Settings
from tests.integration.stage import Stage, month, wave

FIRST, MONTHS = 16, 48


@pytest.fixture
def stage(settings_with_mlflow: Settings, engine: sa.Engine) -> Iterator[Stage]:
    """A task with the series of four years; its replays' schemas are dropped in the end."""
    stage = Stage(settings_with_mlflow, engine)
    stage.put(wave(MONTHS))
    yield stage
    with engine.begin() as connection:
        prefix = stage.task.name.replace("-", "_") + "_replay_"
        for schema in sa.inspect(connection).get_schema_names():
            if schema.startswith(prefix):
                connection.execute(sa.schema.DropSchema(schema, cascade=True))


def run(stage: Stage, count: int, name: str = "a", **how: str) -> str:
    """Walks so many nights of a replay, and returns what was said."""
    said = io.StringIO()
    replay.replay(stage.settings, stage.task, month(FIRST), count, name, Console(file=said, width=200), **how)
    return said.getvalue()


def test_another_declaration_under_the_same_id_is_refused(stage: Stage) -> None:
    run(stage, 2)
    stage.task = stage.task.model_copy(update={"baseline": "ridge"})

    with pytest.raises(ConfigurationError, match="was begun otherwise") as refused:
        run(stage, 2)

    assert "--id" in refused.value.remedy


@pytest.mark.parametrize("name", ["", "UPPER", "with space", "a/b", "-a", "x" * 60])
def test_an_id_that_cannot_name_a_model_and_a_schema_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a replay"):
        replay_place.find(stage.settings, stage.task, month(FIRST), 2, name)


def test_dates_that_are_not_stored_are_refused_with_those_that_are(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match=f"stored from {month(0)} to {month(MONTHS - 1)}"):
        replay_place.find(stage.settings, stage.task, month(MONTHS), 2, "a")
    with pytest.raises(NotFoundError, match="lies outside"):
        replay_place.find(stage.settings, stage.task, month(0) - timedelta(days=40), 2, "a")


def test_a_first_night_without_enough_history_says_to_begin_later(stage: Stage) -> None:
    said = io.StringIO()

    with pytest.raises(DataRefusedError, match="cannot begin on 2000-01-01") as refused:
        replay.replay(stage.settings, stage.task, month(0), 2, "a", Console(file=said))

    assert refused.value.remedy == "Give a later --from."


def test_a_task_that_was_never_ingested_says_how(settings_with_mlflow: Settings, engine: sa.Engine) -> None:
    stage = Stage(settings_with_mlflow, engine)

    with pytest.raises(NotFoundError, match="Nothing is stored") as refused:
        run(stage, 2)

    assert f"contender ingest {stage.task.name}" in refused.value.remedy


def test_services_that_do_not_run_are_named(stage: Stage) -> None:
    bare = stage.settings.model_copy(update={"database_url": ""})
    away = stage.settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9"})

    with pytest.raises(ConfigurationError, match="No database is known") as refused:
        replay_place.find(bare, stage.task, month(FIRST), 2, "a")
    with pytest.raises(RegistryUnreachableError, match="MLflow did not answer"):
        replay_place.find(away, stage.task, month(FIRST), 2, "a")
    assert "make up" in refused.value.remedy
