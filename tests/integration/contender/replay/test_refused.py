"""What a replay does not begin with, and what it says instead."""

import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from rich.console import Console

from contender.replay import run as replay
from contender.replay import setup
from contender.replay import store as replays
from core.config.settings import Settings
from core.errors import ConfigurationError, ContenderError, DataRefusedError, NotFoundError, RegistryUnreachableError
from tests.support.stage import Stage, month
from tests.support.training.replayed import FIRST, MONTHS, four_years, run
from training.registry.factory import open_registry


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Iterator[Stage]:
    with four_years(settings_with_registry, engine) as stage:
        yield stage


def test_another_declaration_under_the_same_id_is_refused(stage: Stage) -> None:
    run(stage, 2)
    stage.task = stage.task.model_copy(update={"baseline": "ridge"})

    with pytest.raises(ConfigurationError, match="was begun with other options") as refused:
        run(stage, 2)

    assert "--id" in refused.value.remedy
    assert f"contender replay --remove {stage.task.name}-replay-a" in refused.value.remedy


def test_another_champion_than_it_began_with_is_refused_and_the_same_is_not(stage: Stage) -> None:
    run(stage, 2, champion="naive")
    run(stage, 2, "b")

    for name, began_with in (("a", "naive"), ("b", "none")):
        with pytest.raises(ConfigurationError, match=f"begun with other options .champion {began_with}, now linear"):
            run(stage, 3, name, champion="linear")
    assert "All 2 sessions" in run(stage, 2, champion="naive")


@pytest.mark.parametrize(("index", "champion", "message"), [
    (0, "", "cannot begin on 2000-01-01"),
    (2, "", "no contender of the task .* has learned anything by then"),
    (FIRST, "nobody", "'nobody' has no model at the first session"),
    (6, "ridge", "'ridge' has no model at the first session"),
    (MONTHS, "", "lies outside"),
])  # fmt: skip
def test_what_cannot_begin_leaves_nothing_behind(stage: Stage, index: int, champion: str, message: str) -> None:
    with pytest.raises(ContenderError, match=message):
        replay.replay(stage.settings, stage.task, month(index), 2, "a", Console(file=io.StringIO()), champion)

    assert not [one for one in replays.list_all(stage.settings) if one.name.startswith(stage.task.name)]
    assert f"{stage.task.name}-replay-a".replace("-", "_") not in sa.inspect(stage.engine).get_schema_names()
    assert open_registry(stage.settings).aliases(f"{stage.task.name}-replay-a") is None
    assert not open_registry(stage.settings).has_experiment(f"{stage.task.name}-replay-a")


def test_a_champion_that_has_no_model_is_refused_with_those_that_have(stage: Stage) -> None:
    with pytest.raises(ConfigurationError) as early:
        setup.prepare(stage.settings, stage.task, month(6), 2, "a", "ridge")
    with pytest.raises(ConfigurationError) as unknown:
        setup.prepare(stage.settings, stage.task, month(FIRST), 2, "a", "nobody")

    assert early.value.remedy == "Begin with one of: naive, linear, or give a later --from."
    assert unknown.value.remedy == "Begin with one of: naive, ridge, linear."


@pytest.mark.parametrize("name", ["", "UPPER", "with space", "a/b", "-a", "x" * 60])
def test_an_id_that_cannot_name_a_model_and_a_schema_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a replay"):
        setup.prepare(stage.settings, stage.task, month(FIRST), 2, name)


def test_dates_that_are_not_stored_are_refused_with_those_that_are(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match=f"stored from {month(0)} to {month(MONTHS - 1)}"):
        setup.prepare(stage.settings, stage.task, month(MONTHS), 2, "a")
    with pytest.raises(NotFoundError, match="lies outside"):
        setup.prepare(stage.settings, stage.task, month(0) - timedelta(days=40), 2, "a")


def test_a_first_session_without_enough_history_says_to_begin_later(stage: Stage) -> None:
    message = io.StringIO()

    with pytest.raises(DataRefusedError, match="cannot begin on 2000-01-01") as refused:
        replay.replay(stage.settings, stage.task, month(0), 2, "a", Console(file=message))

    assert refused.value.remedy == f"Give a later one: --from {month(3)}, or after."
    setup.prepare(stage.settings, stage.task, month(3), 2, "a")


def test_a_task_that_was_never_ingested_says_how(settings_with_registry: Settings, engine: sa.Engine) -> None:
    stage = Stage(settings_with_registry, engine)

    with pytest.raises(NotFoundError, match="Nothing is stored") as refused:
        run(stage, 2)

    assert f"contender ingest {stage.task.name}" in refused.value.remedy


def test_a_series_of_which_nothing_is_stored_says_how_to_fetch_it(stage: Stage) -> None:
    with stage.engine.begin() as connection:
        stage.activate(connection, "empty")

    with pytest.raises(NotFoundError, match="the series empty, of which nothing is stored") as refused:
        setup.prepare(stage.settings, stage.task, month(FIRST), 2, "a")

    assert f"contender ingest {stage.task.name}" in refused.value.remedy


def test_services_that_do_not_run_are_named(stage: Stage) -> None:
    bare = stage.settings.model_copy(update={"database_url": ""})
    away = stage.settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9"})

    with pytest.raises(ConfigurationError, match="No database is known") as refused:
        setup.prepare(bare, stage.task, month(FIRST), 2, "a")
    with pytest.raises(RegistryUnreachableError, match="MLflow did not answer"):
        setup.prepare(away, stage.task, month(FIRST), 2, "a")
    assert "make up" in refused.value.remedy
