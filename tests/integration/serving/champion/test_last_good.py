"""What cannot be trusted or found is not served: the last good model serves on."""

import hashlib
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.registry import delete_alias, model_file
from tests.support.serving.world import World, make_world, open_api
from tests.support.shared_servers import Mlflow
from tests.support.waiting import wait_for
from training.ledger import entries as ledger
from training.registry.factory import open_registry


@pytest.fixture
def world(settings_with_mlflow: Settings, engine: sa.Engine, tmp_path: Path) -> World:
    return make_world(settings_with_mlflow, engine, tmp_path / "tasks")


def artifact(mlflow: Mlflow, world: World, version: int) -> Path:
    """The pickled model of a version in the artifact store of the session's MLflow server."""
    return model_file(world.settings, world.stage.task.name, version, mlflow.home)


def test_an_artifact_that_was_changed_is_refused_and_the_old_model_serves_on(
    mlflow_server: Mlflow, world: World
) -> None:
    naive, linear = world.versions
    world.crown(naive)
    pickled = artifact(mlflow_server, world, linear.version)
    content = bytearray(pickled.read_bytes())
    content[len(content) // 2] ^= 1

    with open_api(world.settings) as api:
        pickled.write_bytes(content)
        world.crown(linear)
        failures = api.service.metrics.reload_failures.labels(world.stage.task.name, "integrity")
        wait_for(lambda: failures._value.get() > 0)
        assert api.version(world.path) == naive.version
        assert api.ask(world.path)["model_source"] == "last-good copy"

        content[len(content) // 2] ^= 1
        pickled.write_bytes(content)
        world.crown(naive)
        world.crown(linear)
        wait_for(lambda: api.version(world.path) == linear.version)

    mended = hashlib.sha256(bytes(content)).hexdigest()
    kept = {hashlib.sha256(path.read_bytes()).hexdigest() for path in world.settings.bundles.rglob("model.pkl")}
    assert kept == {mended, hashlib.sha256(artifact(mlflow_server, world, naive.version).read_bytes()).hexdigest()}


def test_a_version_that_postgres_does_not_know_is_refused(world: World) -> None:
    naive, linear = world.versions
    world.crown(naive)
    listed = open_registry(world.settings).versions_above(world.stage.task.name, 0)
    source = next(entry.source for entry in listed if entry.version == linear.version)
    stranger = open_registry(world.settings).create_version(
        world.stage.task.name, source=source, run_id=linear.run_id, tags={}, description=""
    )

    with open_api(world.settings) as api:
        open_registry(world.settings).set_alias(world.stage.task.name, "champion", stranger)
        failures = api.service.metrics.reload_failures.labels(world.stage.task.name, "unknown_version")
        wait_for(lambda: failures._value.get() > 0)

        assert api.version(world.path) == naive.version


def test_a_model_that_does_not_repeat_its_golden_predictions_is_refused(world: World) -> None:
    naive, linear = world.versions
    world.crown(naive)
    with world.stage.engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE versions SET golden = jsonb_set(golden, '{expected,0}', '7.0') WHERE version = :version"),
            {"version": linear.version},
        )

    with open_api(world.settings) as api:
        world.crown(linear)
        failures = api.service.metrics.reload_failures.labels(world.stage.task.name, "refused")
        wait_for(lambda: failures._value.get() > 0)

        assert api.version(world.path) == naive.version


def test_a_lost_alias_leaves_the_last_champion_serving_and_says_so(world: World) -> None:
    world.crown(world.versions[0])

    with open_api(world.settings) as api:
        delete_alias(world.settings, world.stage.task.name)
        wait_for(lambda: api.ask(world.path)["model_source"] == "last-good copy")
        assert api.version(world.path) == world.versions[0].version

        world.crown(world.versions[0])
        wait_for(lambda: api.ask(world.path)["model_source"] == "mlflow")


def test_the_ledgers_champion_serves_when_registry_and_disk_have_nothing_to_say(world: World) -> None:
    naive, _ = world.versions
    world.crown(naive)
    with open_api(world.settings):
        pass  # the version it served is now in Postgres
    with world.stage.engine.begin() as connection:
        move = ledger.new_move(world.stage.task.name, "champion", None, naive.version, who="test", why="test")
        ledger.write(connection, "confirmed", move, world.stage.clock.now())
    shutil.rmtree(world.settings.bundles)
    elsewhere = world.settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9"})

    with open_api(elsewhere) as api:
        assert api.version(world.path) == naive.version
        assert api.ask(world.path)["model_source"] == "last-good copy"
        assert api.ask("/health/ready")["registry"]["state"] == "never heard"


def test_a_champion_whose_files_are_gone_everywhere_else_comes_from_postgres(
    mlflow_server: Mlflow, world: World
) -> None:
    naive, _ = world.versions
    world.crown(naive)
    with open_api(world.settings) as api:
        wait_for(lambda: api.version(world.path) == naive.version)
    shutil.rmtree(artifact(mlflow_server, world, naive.version).parent.parent)
    shutil.rmtree(world.settings.bundles)

    with open_api(world.settings) as api:
        wait_for(lambda: api.version(world.path) == naive.version)


def test_a_damaged_copy_on_disk_is_fetched_again(world: World) -> None:
    naive, _ = world.versions
    world.crown(naive)
    with open_api(world.settings):
        pass
    (copy,) = world.settings.bundles.rglob("model.pkl")
    copy.write_bytes(copy.read_bytes() + b"x")

    with open_api(world.settings) as api:
        assert api.ask(world.path)["model_source"] == "mlflow"


@pytest.mark.parametrize("note", ["", "{}", '{"version": 1}'])
def test_a_note_of_the_last_good_model_that_cannot_be_read_is_passed_over(world: World, note: str) -> None:
    folder = world.settings.bundles / world.stage.task.name
    folder.mkdir(parents=True)
    (folder / "last-good.json").write_text(note)
    world.crown(world.versions[0])

    with open_api(world.settings) as api:
        assert api.version(world.path) == world.versions[0].version
