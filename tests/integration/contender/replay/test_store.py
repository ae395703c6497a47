"""Looking into a replay by its name from other commands, and removing it: it, and nothing else."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from rich.console import Console

from contender.replay import run as replay
from contender.replay import store as replays
from core.config.settings import Settings
from core.db.engine import connect
from core.db.pipeline_tables import decisions
from core.errors import BusyError, ConfigurationError, NotFoundError
from core.jobs import leases
from tests.support.stage import Stage, month, wave
from tests.support.terminal import Terminal, declared
from tests.support.training.promotions import decided
from training.ledger.entries import CHAMPION
from training.registry.factory import open_registry

FIRST, MONTHS, NIGHTS = 16, 24, 3


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Stage]:
    """A task with a replay, `a`."""
    stage = declared(settings_with_registry, engine, tmp_path / "tasks")
    stage.put(wave(MONTHS))
    walk(stage, "a")
    yield stage
    with engine.begin() as connection:
        for replay_id in ("a", "b"):
            schema = named(stage, replay_id).replace("-", "_")
            connection.execute(sa.schema.DropSchema(schema, cascade=True, if_exists=True))


def walk(stage: Stage, name: str) -> None:
    replay.replay(stage.settings, stage.task, month(FIRST), NIGHTS, name, Console(file=io.StringIO()))


def beside_others(stage: Stage) -> None:
    """Another replay, `b`, and the aliases of the task itself."""
    stage.train()
    stage.promote()
    walk(stage, "b")


def named(stage: Stage, replay_id: str = "a") -> str:
    return f"{stage.task.name}-replay-{replay_id}"


def test_the_history_and_the_decisions_of_a_replay_are_reached_by_its_name_or_id(
    stage: Stage, contender: Terminal
) -> None:
    stage.train()
    stage.promote()
    store = connect(stage.settings.database_url, schema=named(stage).replace("-", "_"))
    with store.connect() as connection:
        first = connection.execute(sa.select(sa.func.min(decisions.c.id))).scalar_one()
        night = connection.execute(sa.select(decisions.c.session_date).where(decisions.c.id == first)).scalar_one()
    name = stage.task.name

    by_id, by_name = contender("history", name, "--replay", "a"), contender("history", name, "--replay", named(stage))
    shown = contender("decision", "show", str(first), "--replay", named(stage))
    again = contender("decision", "replay", str(first), "--replay", named(stage))

    assert by_id[0] == 0
    assert by_id[1].splitlines()[1].split()[2:3] == ["champion"]
    assert by_id == by_name != contender("history", name)
    assert shown[1].startswith(f"Decision {first} of {named(stage)}, {night}: BOOTSTRAP")
    assert (again[0], "the same to the byte" in again[1]) == (0, True)


def test_what_was_moved_by_hand_in_a_replay_is_released_there(stage: Stage, contender: Terminal) -> None:
    aliases = open_registry(stage.settings).aliases(named(stage))
    assert aliases is not None
    by_hand = min({1, 2, 3} - {aliases[CHAMPION]})
    open_registry(stage.settings).set_alias(named(stage), CHAMPION, by_hand)

    reported = contender("history", stage.task.name, "--replay", "a")[1]

    assert f'until: contender unpin {stage.task.name} --replay a --why "…"' in reported
    console = Console(file=io.StringIO())
    replay.replay(stage.settings, stage.task, month(FIRST), NIGHTS + 1, "a", console)
    assert (open_registry(stage.settings).aliases(named(stage)) or {})[CHAMPION] == by_hand
    assert contender("unpin", named(stage), "--why", "as its lines say")[1] == "Released: champion.\n"
    assert contender("unpin", stage.task.name, "--replay", "a", "--why", "t")[1] == "No alias was pinned.\n"
    assert contender("rollback", named(stage), "--why", "t")[0] == 42


def test_a_name_of_no_replay_is_refused_with_those_there_are(stage: Stage, contender: Terminal) -> None:
    code, reported = contender("decision", "show", "1", "--replay", "nothing")

    assert (code, reported.splitlines()[0]) == (42, "There is no replay 'nothing'.")
    assert named(stage, "a") in reported
    with pytest.raises(NotFoundError, match="of the task 'other'"):
        replays.find(stage.settings, named(stage), "other")


def test_an_id_of_several_replays_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    both = tuple(replays.Replay(f"{task}-replay-a", f"{task}_replay_a", 1, task, "a") for task in ("x", "y"))
    monkeypatch.setattr(replays, "list_all", lambda _: both)

    with pytest.raises(ConfigurationError, match="the id of several replays") as refused:
        replays.find(settings, "a")

    assert refused.value.remedy == "Name one of: x-replay-a, y-replay-a."
    assert replays.find(settings, "a", "y") == both[1]


def test_an_id_is_matched_as_a_whole_and_not_by_its_end(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    long = replays.Replay("spy-replay-a-replay-b", "spy_replay_a_replay_b", 1, "spy", "a-replay-b")
    monkeypatch.setattr(replays, "list_all", lambda _: (long,))

    with pytest.raises(NotFoundError, match="no replay 'b'"):
        replays.find(settings, "b")
    with pytest.raises(NotFoundError, match="of the task 'spy-replay-a'"):
        replays.find(settings, "b", "spy-replay-a")
    assert replays.find(settings, "a-replay-b") == replays.find(settings, "a-replay-b", "spy") == long


def test_a_removed_replay_is_gone_and_nothing_else_is(stage: Stage, contender: Terminal) -> None:
    beside_others(stage)
    name, before = stage.task.name, (stage.aliases(), [row.id for row in decided(stage)])
    others = open_registry(stage.settings).aliases(named(stage, "b"))

    code, reported = contender("replay", "--remove", named(stage), "--yes")

    assert code == 0
    assert f"This removes the replay {named(stage)} for good: {NIGHTS} sessions in the PostgreSQL schema" in reported
    assert f"The replay {named(stage)} is removed. Its report stays in" in reported
    there = [one.name for one in replays.list_all(stage.settings)]
    assert [one for one in there if one.startswith(name)] == [named(stage, "b")]
    assert open_registry(stage.settings).aliases(named(stage)) is None
    assert not open_registry(stage.settings).has_experiment(named(stage))
    assert (stage.aliases(), [row.id for row in decided(stage)]) == before
    assert open_registry(stage.settings).aliases(named(stage, "b")) == others
    assert open_registry(stage.settings).has_experiment(name)
    assert open_registry(stage.settings).has_experiment(named(stage, "b"))
    assert contender("replay", "--remove", named(stage), "--yes")[0] == 42


def test_a_replay_can_be_walked_anew_under_the_name_of_one_that_was_removed(stage: Stage) -> None:
    replays.remove(stage.settings, replays.find(stage.settings, named(stage)))

    message = io.StringIO()
    replay.replay(stage.settings, stage.task, month(FIRST), NIGHTS, "a", Console(file=message, width=200), "naive")

    assert replays.find(stage.settings, named(stage)).sessions == NIGHTS
    assert open_registry(stage.settings).has_experiment(named(stage))


def test_who_does_not_say_yes_removes_nothing(stage: Stage, contender: Terminal) -> None:
    contender("replay", "--remove", named(stage))  # no answer

    assert replays.find(stage.settings, named(stage)).sessions == NIGHTS


def test_a_replay_that_is_walked_is_not_removed(stage: Stage) -> None:
    found = replays.find(stage.settings, named(stage))
    store = connect(stage.settings.database_url, schema=found.schema)

    with leases.hold(store, replays.LEASE), pytest.raises(BusyError):
        replays.remove(stage.settings, found)

    assert replays.find(stage.settings, named(stage)).sessions == NIGHTS
    assert open_registry(stage.settings).aliases(named(stage)) is not None
