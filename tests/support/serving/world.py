"""A world to serve: a small task, two versions in a real registry, and the API on it, in this process or its own."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa
import yaml
from flask.testing import FlaskClient

from contender.servers.processes import Process, free_port, spawn, wait_for_http
from core.config.settings import Settings
from core.config.tasks import Feature
from core.db.pipeline_tables import predictions
from core.jobs.clock import Clock
from serving.app import EXTENSION, PredictionService, create_app
from tests.support.stage import Stage, a_task
from training.registry.factory import open_registry
from training.registry.versions import Version

POLL_SECONDS = 0.2
MONTHS = 30


@dataclass
class World:
    """A task whose versions answer constants, so that an answer tells which version gave it."""

    stage: Stage
    settings: Settings
    versions: tuple[Version, ...]

    @property
    def path(self) -> str:
        """Where the task's prediction is asked."""
        return f"/tasks/{self.stage.task.name}/prediction"

    def crown(self, version: Version) -> None:
        """Moves the champion alias as a person does in MLflow's pages."""
        open_registry(self.settings).set_alias(self.stage.task.name, "champion", version.version)

    def logged(self) -> int:
        """The rows in the table `predictions`."""
        with self.stage.engine.connect() as connection:
            count: int = connection.execute(sa.select(sa.func.count()).select_from(predictions)).scalar_one()
        return count


def make_world(settings: Settings, engine: sa.Engine, tasks: Path) -> World:
    """A month series, its dataset, and two versions: `naive` answers 1.0, `linear` 1.01."""
    task = a_task(features=(Feature(transform="lag", parameters={"n": 1}),))
    tasks.mkdir()
    (tasks / f"{task.name}.yaml").write_text(yaml.safe_dump(task.model_dump(mode="json")))
    settings = settings.model_copy(update={"tasks": tasks, "alias_poll_seconds": POLL_SECONDS})
    stage = Stage(settings, engine, task)
    stage.put([100.0 + number for number in range(MONTHS)])
    return World(stage, settings, stage.versions("naive", "linear", slope=0.0))


@dataclass
class Api:
    """The API of one worker in this process."""

    client: FlaskClient
    service: PredictionService

    def ask(self, path: str) -> dict[str, Any]:
        """The JSON of a path."""
        told: dict[str, Any] = self.client.get(path).get_json()
        return told

    def version(self, path: str) -> int | None:
        """The version that answers, or None when none does."""
        version: int | None = self.ask(path).get("model_version")
        return version


@contextmanager
def open_api(settings: Settings, clock: Clock | None = None) -> Iterator[Api]:
    """The API in this process, stopped at the end."""
    app = create_app(settings, clock)
    service: PredictionService = app.extensions[EXTENSION]
    try:
        yield Api(app.test_client(), service)
    finally:
        service.stop()


@dataclass
class Server:
    """The API under its real server."""

    url: str
    process: Process

    def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels."""
        lines = requests.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}


@contextmanager
def open_server(settings: Settings, **changes: object) -> Iterator[Server]:
    """The API in processes of its own, ended by SIGTERM."""
    settings = settings.model_copy(update={"api_port": free_port(), **changes})
    process = spawn("api", ["-m", "serving"], settings)
    url = f"http://127.0.0.1:{settings.api_port}"
    try:
        wait_for_http(f"{url}/health/ready", process, 200)
        yield Server(url, process)
    finally:
        with suppress(ProcessLookupError):
            process.stop()
