"""A replay whose champion a person has moved: its result is that of the ledger, whoever wrote the move down."""

import io
from collections.abc import Iterator
from datetime import date

import pytest
import sqlalchemy as sa
from rich.console import Console

from contender.replay import run as replay
from contender.replay import store as replays
from contender.replay.analysis import ReplayResult
from contender.replay.champions import EXTERNAL
from core.config.settings import Settings
from core.jobs.clock import SystemClock
from tests.support.stage import Stage, month, wave
from training.ledger import manual
from training.ledger.entries import CHAMPION
from training.registry.factory import open_registry

FIRST, MONTHS, BEFORE, BEGINS = 16, 40, 3, "naive"
MOVED = month(FIRST + BEFORE)
"""The first night that is walked after the move."""


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Iterator[Stage]:
    stage = Stage(settings_with_registry, engine)
    stage.put(wave(MONTHS))
    yield stage
    with engine.begin() as connection:
        schema = replays.schema_of(name_of(stage))
        connection.execute(sa.schema.DropSchema(schema, cascade=True, if_exists=True))


def name_of(stage: Stage) -> str:
    return replays.name_of(stage.task.name, "a")


def walk(stage: Stage, nights: int) -> ReplayResult:
    console = Console(file=io.StringIO())
    return replay.replay(stage.settings, stage.task, month(FIRST), nights, "a", console, BEGINS)


def move_by_hand(stage: Stage) -> str:
    """Gives the title to another contender in MLflow, and says which."""
    tags = {
        version: open_registry(stage.settings).find(name_of(stage), version).tags["contender"]  # type: ignore[union-attr]
        for version in (1, 2, 3)
    }
    version = next(version for version, contender in tags.items() if contender == "ridge")
    open_registry(stage.settings).set_alias(name_of(stage), CHAMPION, version)
    return tags[version]


def release(stage: Stage) -> None:
    settings = stage.settings.model_copy(update={"schema_name": replays.schema_of(name_of(stage))})
    assert manual.release_pins(settings, name_of(stage), SystemClock(), who="anna", why="seen enough") == (CHAMPION,)


def moves(result: ReplayResult) -> list[tuple[date, str, str | None, str | None]]:
    return [
        (one.session, one.outcome, one.from_contender, one.to_contender) for one in result.changes if not one.is_refresh
    ]


def test_a_move_that_a_session_has_found_is_reported_as_a_persons(stage: Stage) -> None:
    walk(stage, BEFORE)
    now = move_by_hand(stage)

    result = walk(stage, BEFORE + 3)

    assert moves(result) == [(month(FIRST), "FORCED", None, BEGINS), (MOVED, EXTERNAL, BEGINS, now)]
    assert [one.by_hand for one in result.changes] == [False, True]
    assert "the champion changed once, by hand." in result.summary
    assert result.changes[-1].why.startswith("Not by the gate: moved by hand in MLflow")
    assert result.policies[0].name == "served: the champion by evidence, moved by hand once"
    assert f"contender unpin {stage.task.name} --replay a --why" in result.last_decision


def test_once_released_a_refresh_is_reported_as_a_refresh_and_who_released_it(stage: Stage) -> None:
    walk(stage, BEFORE)
    now = move_by_hand(stage)
    walk(stage, BEFORE + 2)
    release(stage)

    result = walk(stage, BEFORE + 9)

    refreshed = [one for one in result.changes if one.is_refresh and one.to_contender == now]
    assert refreshed
    assert (MOVED, EXTERNAL, BEGINS, now) in moves(result)
    (moved,) = [one for one in result.changes if one.by_hand]
    assert moved.why.endswith("There is no evidence for it. Released since by anna: “seen enough”.")


@pytest.mark.parametrize("later", [0, 4])
def test_a_move_that_unpin_has_found_is_of_the_session_after_which_it_was_made(stage: Stage, later: int) -> None:
    walk(stage, BEFORE)
    now = move_by_hand(stage)
    release(stage)

    result = walk(stage, BEFORE + later)

    night = MOVED if later else month(FIRST + BEFORE - 1)
    assert moves(result)[1] == (night, EXTERNAL, BEGINS, now)
