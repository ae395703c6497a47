"""The API serves what it served last while MLflow, Postgres, or both are stopped. They are stopped for real here."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from contender.servers.processes import Postgres, Process, free_port, start_mlflow, wait_for_mlflow
from core.config.settings import Settings
from core.db.engine import connect, migrate
from core.db.pipeline_tables import feature_rows, predictions
from tests.support.serving.world import World, make_world, open_api
from tests.support.waiting import wait_for
from training.ledger import entries as ledger

pytestmark = pytest.mark.slow


@dataclass
class Services:
    """A Postgres and an MLflow of our own, which may be stopped."""

    home: Path
    mlflow_port: int = field(default_factory=free_port)
    mlflow: Process | None = None

    @property
    def postgres(self) -> Postgres:
        return Postgres(self.home / "postgres" / "data")

    @property
    def settings(self) -> Settings:
        return Settings(
            home=self.home / "home",
            database_url=self.postgres.database("contender"),
            mlflow_url=f"http://127.0.0.1:{self.mlflow_port}",
        )

    def start_mlflow(self) -> None:
        self.mlflow = start_mlflow(self.settings, self.postgres.database("mlflow"), self.mlflow_port)
        wait_for_mlflow(f"http://127.0.0.1:{self.mlflow_port}", self.mlflow)

    def stop_mlflow(self) -> None:
        if self.mlflow is not None:
            self.mlflow.stop()

    def start_postgres(self) -> None:
        self.postgres.start()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory.mktemp("outage"))
    services.start_mlflow()
    yield services
    services.stop_mlflow()
    services.postgres.stop()


@pytest.fixture(scope="module")
def world(services: Services) -> Iterator[World]:
    engine = connect(services.settings.database_url)
    migrate(engine)
    world = make_world(services.settings, engine, services.home / "tasks")
    world.crown(world.versions[1])
    yield world
    engine.dispose()


def test_the_api_started_without_mlflow_serves_the_last_good_model(services: Services, world: World) -> None:
    name, served = world.stage.task.name, world.versions[1].version
    with open_api(world.settings) as api:
        assert api.ask(world.path)["model_source"] == "mlflow"
        with world.stage.engine.begin() as connection:
            move = ledger.new_move(name, "champion", None, served, who="test", why="test")
            ledger.write(connection, "confirmed", move, world.stage.clock.now())
        services.stop_mlflow()
        assert api.version(world.path) == served

    with open_api(world.settings) as api:
        told = api.ask(world.path)
        assert (told["model_version"], told["prediction"]) == (served, 1.01)
        assert told["model_source"] == "last-good copy"
        wait_for(lambda: api.ask("/health/ready")["database"]["state"] == "fresh")
        assert api.ask("/health/ready")["registry"]["state"] == "never heard"

    shutil.rmtree(world.settings.bundles)
    with open_api(world.settings) as api:
        assert api.ask(world.path)["model_source"] == "last-good copy"
        assert api.version(world.path) == served

        services.start_mlflow()
        wait_for(lambda: api.ask(world.path)["model_source"] == "mlflow")
        assert api.ask("/health/ready")["registry"]["state"] == "fresh"


def test_without_postgres_answers_go_on_and_every_one_arrives_later_once(services: Services, world: World) -> None:
    with world.stage.engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE predictions, feature_rows"))
    ids: list[str] = []

    def ask(times: int) -> None:
        for _ in range(times):
            response = api.client.get(world.path)
            assert response.status_code == 200
            ids.append(response.headers["X-Prediction-Id"])

    with open_api(world.settings) as api:
        ask(20)
        services.postgres.stop()
        ask(50)
        wait_for(lambda: api.service.metrics.pending._value.get() >= 50)

    with open_api(world.settings) as api:  # a new worker, with neither Postgres nor (its database gone) MLflow
        assert api.ask("/health/ready")["database"]["state"] == "never heard"
        assert api.ask(world.path)["model_source"] == "last-good copy"
        ids.clear()
        ask(30)
        services.start_postgres()
        wait_for(lambda: world.logged() == 20 + 50 + 1 + 30)
        wait_for(lambda: api.ask("/health/ready")["database"]["state"] == "fresh")

    with world.stage.engine.connect() as connection:
        stored = {str(identity) for identity in connection.execute(sa.select(predictions.c.id)).scalars()}
        features = connection.execute(sa.select(sa.func.count()).select_from(feature_rows)).scalar_one()
    assert set(ids) <= stored
    assert features == 1


def test_a_live_learner_answers_on_without_postgres(services: Services, world: World) -> None:
    world.stage.put([200.0])
    world.crown(next(version for version in world.stage.train().versions if version.contender == "linear"))

    with open_api(world.settings) as api:
        wait_for(lambda: api.ask(world.path).get("last_event_id") == world.stage.months - 1)
        told = api.ask(world.path)
        services.postgres.stop()
        wait_for(lambda: api.ask("/health/ready")["database"]["state"] == "stale")

        assert api.ask(world.path) == told
    services.start_postgres()
