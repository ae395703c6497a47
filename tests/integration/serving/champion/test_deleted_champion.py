"""A champion that was deleted in MLflow: what served serves on, everybody is told, and there is a way back."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from rich.console import Console

from contender.cli.summary import champions
from core.config.settings import Settings
from tests.support.registry import delete_alias, delete_model, delete_version
from tests.support.serving.managed import Managed, managed
from tests.support.serving.world import World, make_world, open_api, open_server
from tests.support.waiting import wait_for
from training.ledger import entries as ledger
from training.ledger.rollback import roll_back
from training.registry import flavor, versions
from training.registry.factory import open_registry

AWAY = "http://127.0.0.1:9"
LOSSES: dict[str, Callable[[Settings, str, int], None]] = {
    "the alias was taken away in MLflow": lambda settings, name, _: delete_alias(settings, name),
    "version 2 was deleted in MLflow": delete_version,
    "the registered model was deleted in MLflow": lambda settings, name, _: delete_model(settings, name),
}
"""How a champion is lost, by how the ledger tells of it."""


@pytest.fixture
def world(settings_with_mlflow: Settings, engine: sa.Engine, tmp_path: Path) -> World:
    return make_world(settings_with_mlflow, engine, tmp_path / "tasks")


@pytest.fixture
def at(settings_with_mlflow: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Managed]:
    with managed(settings_with_mlflow, engine, tmp_path / "tasks") as at:
        yield at


def gauge(text: str, task: str, alert: str = "champion_lost") -> float:
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines())
    return float(lines[f'contender_alerts{{alert="{alert}",task="{task}"}}'])


def alerts(told: dict[str, Any]) -> list[str]:
    return [alert["alert"] for alert in told["alerts"]]


@pytest.mark.parametrize("how", LOSSES)
def test_what_served_serves_on_and_everybody_is_told_until_a_rollback_brings_a_champion_back(
    at: Managed, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage, api = at.world.stage, at.api
    naive, linear = at.world.versions
    at.post(f"{at.base}/promote", version=naive.version)
    at.post(f"{at.base}/promote", version=linear.version)
    wait_for(lambda: api.version(at.world.path) == linear.version)
    before = api.ask(at.world.path)
    assert gauge(api.client.get("/metrics").text, stage.task.name) == 0

    LOSSES[how](stage.settings, stage.task.name, linear.version)
    wait_for(lambda: api.ask("/health/ready")["alerts"] == {stage.task.name: ["champion_lost"]})

    assert api.ask(at.world.path) == before | {"model_source": "last-good copy"}
    (told,) = api.ask("/info")["tasks"]
    assert alerts(told) == ["champion_lost"]
    assert f"version {linear.version} serves on" in told["alerts"][0]["problem"]
    assert f"contender rollback {stage.task.name}" in told["alerts"][0]["remedy"]
    assert gauge(api.client.get("/metrics").text, stage.task.name) == 1

    held = stage.promote()
    assert (held.outcome, held.champion) == ("HOLD", None)
    assert [(move.to_version, move.why) for move in held.moves if move.alias == "champion"] == [(None, how)]
    assert api.version(at.world.path) == linear.version

    back = at.post(f"{at.base}/rollback", why="it was deleted").get_json()
    expected = naive.version if how.startswith("version") else linear.version
    assert (back["from_version"], back["version"], back["pinned"]) == (None, expected, True)
    wait_for(lambda: api.ask("/health/ready")["alerts"] == {})
    wait_for(lambda: api.ask(at.world.path)["model_source"] == "mlflow")
    assert api.version(at.world.path) == expected
    assert gauge(api.client.get("/metrics").text, stage.task.name) == 0
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "The champion alias" in line]
    assert ["error" in lines[0], "is back" in lines[-1], len(lines)] == [True, True, 2]


@pytest.mark.parametrize("how", LOSSES)
def test_after_a_restart_the_lost_champion_still_serves_and_is_still_missed(world: World, how: str) -> None:
    name, (_, linear) = world.stage.task.name, world.versions
    world.crown(linear)
    with open_api(world.settings) as api:
        assert api.version(world.path) == linear.version
    world.stage.promote()
    LOSSES[how](world.settings, name, linear.version)
    world.stage.promote()  # writes the loss down
    standing = ledger.alias_states(world.stage.engine, name)["champion"]
    assert (standing.version, standing.pinned) == (None, True)

    with open_api(world.settings) as api:
        assert (api.version(world.path), api.ask(world.path)["model_source"]) == (linear.version, "last-good copy")
        assert api.ask("/health/ready")["alerts"] == {name: ["champion_lost"]}

    elsewhere = world.settings.model_copy(update={"home": world.settings.home.parent / "another-machine"})
    with open_api(elsewhere) as api:
        assert (api.version(world.path), api.ask(world.path)["model_source"]) == (linear.version, "last-good copy")
        assert api.ask("/health/ready")["alerts"] == {name: ["champion_lost"]}


def test_every_worker_finds_the_loss_and_status_metrics_and_log_tell_of_it(world: World) -> None:
    name = world.stage.task.name
    world.crown(world.versions[0])
    key = f'contender_alerts{{alert="champion_lost",task="{name}"}}'

    with open_server(world.settings, api_workers=2) as server:
        assert server.metrics()[key] == 0
        assert "champion_lost" not in shown(server.url)

        delete_alias(world.settings, name)
        wait_for(lambda: server.metrics()[key] == 1)
        log = world.settings.home / "logs" / "api.log"
        wait_for(lambda: log.read_text().count("The champion alias is gone") == 2)
        told = shown(server.url)
        assert "champion_lost" in told
        assert f'contender rollback {name} --why "…"' in told

        world.crown(world.versions[0])
        wait_for(lambda: log.read_text().count(f"The champion alias of {name} is back") == 2)
        assert server.metrics()[key] == 0
        assert "champion_lost" not in shown(server.url)
        assert log.read_text().count("The champion alias is gone") == 2


def shown(url: str) -> str:
    """What `contender status` says of the champions."""
    console = Console(file=io.StringIO(), width=400)
    console.print(champions(url, wait_seconds=15))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_mlflow_that_does_not_answer_is_no_loss(world: World) -> None:
    world.crown(world.versions[0])
    with open_api(world.settings) as api:
        assert api.version(world.path) == world.versions[0].version

    with open_api(world.settings.model_copy(update={"mlflow_url": AWAY})) as api:
        api.service.poller.poll()

        assert api.version(world.path) == world.versions[0].version
        assert api.ask("/health/ready")["registry"]["state"] == "never heard"
        assert api.ask("/health/ready")["alerts"] == {}
        assert gauge(api.client.get("/metrics").text, world.stage.task.name) == 0


def test_while_mlflow_is_silent_a_loss_that_was_found_is_not_forgotten(world: World) -> None:
    name = world.stage.task.name
    world.crown(world.versions[0])
    with open_api(world.settings) as api:
        delete_alias(world.settings, name)
        wait_for(lambda: api.ask("/health/ready")["alerts"] == {name: ["champion_lost"]})

        api.service.poller._settings = world.settings.model_copy(update={"mlflow_url": AWAY})
        api.service.poller.poll()

        assert api.ask("/health/ready")["alerts"] == {name: ["champion_lost"]}


def test_a_task_that_never_had_a_champion_has_lost_none(world: World) -> None:
    with open_api(world.settings) as api:
        assert api.client.get(world.path).status_code == 503
        assert api.ask("/health/ready")["alerts"] == {}


def test_a_version_that_is_not_ours_is_refused_with_an_alert_until_the_alias_is_elsewhere(world: World) -> None:
    name, (naive, _) = world.stage.task.name, world.versions
    world.crown(naive)
    made = open_registry(world.settings).find(name, naive.version)
    assert made is not None
    stranger = open_registry(world.settings).create_version(
        name, source=made.source, run_id=made.run_id, tags={}, description=""
    )

    with open_api(world.settings) as api:
        world.stage.move_by_hand("champion", stranger)
        wait_for(lambda: api.ask("/health/ready")["alerts"] == {name: ["champion_refused"]})
        assert api.version(world.path) == naive.version
        assert gauge(api.client.get("/metrics").text, name, "champion_refused") == 1

        world.crown(naive)
        wait_for(lambda: api.ask("/health/ready")["alerts"] == {})


def test_a_title_that_the_guard_gave_back_is_told_until_the_next_move(world: World) -> None:
    stage, (naive, linear) = world.stage, world.versions
    name = stage.task.name
    world.crown(linear)

    with open_api(world.settings) as api:
        wait_for(lambda: api.version(world.path) == linear.version)
        assert api.ask("/health/ready")["alerts"] == {}
        back = ledger.new_move(name, "champion", linear.version, naive.version, who=ledger.GUARD, why="PROMOTE guard")
        with stage.engine.begin() as connection:
            ledger.write(connection, "intent", back, stage.clock.now())
        stage.move_by_hand("champion", naive.version)
        wait_for(lambda: api.ask("/health/ready")["alerts"] == {name: ["guard_moved"]})
        assert api.version(world.path) == naive.version
        assert gauge(api.client.get("/metrics").text, name, "guard_moved") == 1

        world.crown(linear)
        wait_for(lambda: api.ask("/health/ready")["alerts"] == {})


def test_a_rollback_passes_over_champions_that_mlflow_has_no_more(world: World) -> None:
    stage, (naive, linear) = world.stage, world.versions
    (ridge,) = stage.versions("ridge")
    for version in (naive, linear, ridge):
        stage.move_by_hand("champion", version.version)
        stage.promote()
    delete_version(stage.settings, stage.task.name, linear.version)

    made = roll_back(stage.engine, stage.settings, stage.task.name, stage.clock, to=None, who="me", why="test")

    assert (made.from_version, made.version) == (ridge.version, naive.version)


def test_a_deleted_model_is_put_back_with_every_version_under_its_number(world: World) -> None:
    stage, (naive, linear) = world.stage, world.versions
    made = open_registry(stage.settings).find(stage.task.name, naive.version)
    assert made is not None
    stranger = open_registry(stage.settings).create_version(
        stage.task.name, source=made.source, run_id=made.run_id, tags={}, description=""
    )
    (ridge,) = stage.versions("ridge")
    for version in (linear, ridge):
        stage.move_by_hand("champion", version.version)
        stage.promote()
    delete_model(stage.settings, stage.task.name)

    made_again = roll_back(
        stage.engine, stage.settings, stage.task.name, stage.clock, to=naive.version, who="me", why="test"
    )

    assert (made_again.from_version, made_again.version) == (None, naive.version)
    listed = versions.listed(stage.engine, stage.settings, stage.task.name)
    assert [one.version for one in listed] == [ridge.version, stranger, linear.version, naive.version]
    by_tag = {one.version: one.tags.get("artifact_digest") for one in listed}
    assert by_tag == {one.version: one.artifact_digest for one in (naive, linear, ridge)} | {stranger: None}
    stage.put([7.0])
    (newer,) = stage.versions("linear")
    assert newer.version == ridge.version + 1


def test_a_model_that_was_put_back_has_its_files(world: World, tmp_path: Path) -> None:
    stage, (naive, linear) = world.stage, world.versions
    stage.move_by_hand("champion", linear.version)
    stage.promote()
    delete_model(stage.settings, stage.task.name)
    roll_back(stage.engine, stage.settings, stage.task.name, stage.clock, to=None, who="me", why="test")

    folder = open_registry(stage.settings).download(stage.task.name, naive.version, tmp_path / "again")

    assert flavor.folder_digest(folder) == naive.artifact_digest
