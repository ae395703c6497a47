"""A replay takes no name, model or schema that is somebody else's, and a removal that was cut off is finished first."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from rich.console import Console

from contender.replay import run as replay
from contender.replay import sessions, setup
from contender.replay import store as replays
from core.config.settings import Settings
from core.db.engine import connect
from core.db.pipeline_tables import runs
from core.errors import ConfigurationError, NotFoundError
from tests.support.registry import registry_class
from tests.support.stage import Stage, a_task, month, wave
from tests.support.terminal import Terminal, declared
from training.registry.factory import open_registry

FIRST, MONTHS, NIGHTS = 16, 24, 2


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Stage]:
    """A task with a file and a series; its replays' schemas are dropped in the end."""
    stage = declared(settings_with_registry, engine, tmp_path / "tasks")
    stage.put(wave(MONTHS))
    yield stage
    with engine.begin() as connection:
        for schema in sa.inspect(connection).get_schema_names():
            if "_replay_" in schema and replays.schema_of(stage.task.name) in schema:
                connection.execute(sa.schema.DropSchema(schema, cascade=True))


def named(stage: Stage) -> str:
    return f"{stage.task.name}-replay-a"


def run(stage: Stage, count: int = NIGHTS) -> str:
    message = io.StringIO()
    replay.replay(stage.settings, stage.task, month(FIRST), count, "a", Console(file=message, width=200))
    return message.getvalue()


def another(stage: Stage) -> Stage:
    """Another task, named like the replay `a`, with versions and aliases of its own."""
    other = Stage(stage.settings, stage.engine, a_task(name=named(stage)))
    other.put(wave(MONTHS))
    other.train()
    other.promote()
    return other


def declare(stage: Stage) -> Path:
    path = stage.settings.tasks / f"{stage.task.name}.yaml"
    path.write_text(yaml.safe_dump(stage.task.model_dump(mode="json")))
    return path


def schemas(stage: Stage) -> set[str]:
    return {one for one in sa.inspect(stage.engine).get_schema_names() if replays.schema_of(stage.task.name) in one}


def cut_off(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> replays.Replay:
    """Begins to remove the replay, and is stopped after its registered model has gone."""
    found = replays.find(stage.settings, named(stage))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(registry_class(stage.settings), "delete_experiment", stopped)
        with pytest.raises(KeyboardInterrupt):
            replays.remove(stage.settings, found)
    return found


def test_a_replay_does_not_begin_under_the_name_of_a_task(stage: Stage) -> None:
    declare(Stage(stage.settings, stage.engine, a_task(name=named(stage))))

    with pytest.raises(ConfigurationError, match=f"there is a task of that name in .*{named(stage)}.yaml") as refused:
        run(stage)

    assert "--id" in refused.value.remedy
    assert schemas(stage) == set()


def test_a_replay_does_not_begin_under_the_name_of_a_task_whose_file_is_elsewhere(stage: Stage) -> None:
    other = another(stage)
    before = other.aliases()

    with pytest.raises(ConfigurationError, match="a task of that name has trained versions in this database"):
        run(stage)

    assert (schemas(stage), other.aliases()) == (set(), before)


def test_a_replay_does_not_begin_in_a_registered_model_or_an_experiment_of_something_else(stage: Stage) -> None:
    another(stage)
    away = stage.settings.model_copy(update={"schema_name": ""})
    with stage.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM versions"))

    with pytest.raises(ConfigurationError, match="MLflow has a registered model"):
        run(stage)
    open_registry(away).delete_model(named(stage))
    with pytest.raises(ConfigurationError, match="MLflow has an experiment"):
        run(stage)

    assert schemas(stage) == set()


def test_a_task_that_came_to_bear_the_name_of_a_replay_keeps_its_model(stage: Stage, contender: Terminal) -> None:
    run(stage)
    path = declare(Stage(stage.settings, stage.engine, a_task(name=named(stage))))
    before = open_registry(stage.settings).aliases(named(stage))

    code, reported = contender("replay", stage.task.name, "--remove", "a", "--yes")

    assert code == 42
    assert f"{named(stage)} cannot be the name of a replay" in reported
    assert f"DROP SCHEMA {replays.schema_of(named(stage))} CASCADE" in " ".join(reported.split())
    assert open_registry(stage.settings).aliases(named(stage)) == before != {}
    with pytest.raises(ConfigurationError, match="cannot be the name of a replay"):
        run(stage, NIGHTS + 1)
    path.unlink()
    assert contender("replay", stage.task.name, "--remove", "a", "--yes")[0] == 0


def test_a_replay_of_before_names_were_looked_at_is_removed_with_a_model_of_its_own_only(stage: Stage) -> None:
    run(stage)
    store = connect(stage.settings.database_url, schema=replays.schema_of(named(stage)))
    with store.begin() as connection:
        is_first = runs.c.report.has_key("from")
        connection.execute(sa.update(runs).where(is_first).values(report=runs.c.report.op("-")("id").op("-")("of")))
        versions = connection.execute(sa.text("DELETE FROM versions RETURNING version")).all()
    found = replays.find(stage.settings, "a", stage.task.name)

    with pytest.raises(ConfigurationError, match="has no version that this replay made"):
        replays.remove(stage.settings, found)

    assert (found.is_name_checked, len(open_registry(stage.settings).versions_above(named(stage), 0))) == (
        False,
        len(versions),
    )
    assert replays.find(stage.settings, named(stage)).is_removing is False


def test_a_replay_whose_removal_was_cut_off_is_not_gone_on_with_and_is_removed_by_the_same_command(
    stage: Stage, contender: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(stage)
    place = setup.prepare(stage.settings, stage.task, month(FIRST), NIGHTS, "a")
    found = cut_off(stage, monkeypatch)

    with pytest.raises(ConfigurationError, match="was interrupted") as refused:
        run(stage, NIGHTS + 2)
    with (
        pytest.raises(ConfigurationError, match="interrupted"),
        sessions.open_runner(stage.settings.schema_name, place),
    ):
        pytest.fail("it was opened")

    assert f"contender replay --remove {found.name}" in refused.value.remedy
    assert open_registry(stage.settings).aliases(found.name) is None
    assert replays.find(stage.settings, found.name).is_removing
    assert contender("replay", "--remove", found.name, "--yes")[0] == 0
    assert not open_registry(stage.settings).has_experiment(found.name)
    assert schemas(stage) == set()
    run(stage)
    assert not replays.find(stage.settings, found.name).is_removing


def test_a_task_whose_name_begins_as_schemas_must_not_and_looks_like_a_replays_is_replayed_and_found_again(
    stage: Stage,
) -> None:
    stage.task = stage.task.model_copy(update={"name": f"pg-replay-{stage.task.name}"})
    stage.months = 0
    stage.put(wave(MONTHS))

    run(stage)

    found = replays.find(stage.settings, named(stage), stage.task.name)
    assert (found.schema, found.sessions) == (f"_{named(stage)}".replace("-", "_"), NIGHTS)
    replays.remove(stage.settings, found)
    assert schemas(stage) == set()


@pytest.mark.parametrize("columns", ["id int", "task int, step int, report int", "task text, step text, report text"])
def test_a_schema_of_something_else_that_is_named_like_a_replays_is_passed_over_and_left_alone(
    stage: Stage, contender: Terminal, columns: str
) -> None:
    schema = replays.schema_of(named(stage))
    with stage.engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
        for table in ("runs", "alembic_version"):
            connection.execute(sa.text(f"CREATE TABLE {schema}.{table} ({columns})"))

    assert contender("history", stage.task.name, "--replay", "a")[0] == 42
    assert contender("replay", "--remove", named(stage), "--yes")[0] == 42
    with pytest.raises(NotFoundError):
        replays.find(stage.settings, "a", stage.task.name)
    with pytest.raises(ConfigurationError, match=f"schema {schema} with something else in it"):
        run(stage)

    assert set(sa.inspect(stage.engine).get_table_names(schema=schema)) == {"runs", "alembic_version"}
