"""The API with an administrator: a task that has versions, a pushed one, and both in a folder of their own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from werkzeug.test import TestResponse

from core.auth import audit
from core.auth.tokens import Role
from core.config.settings import Settings
from core.config.tasks import Feature
from serving.pushed.tasks import LoadedTask
from tests.support.paths import REPOSITORY
from tests.support.serving.guarded import bearer, token
from tests.support.serving.world import POLL_SECONDS, Api, World, make_world, open_api
from tests.support.stage import Stage, a_task

PUSHED = {
    "name": "live",
    "title": "What comes next?",
    "source": "pushed",
    "target": {"kind": "value"},
    "contenders": {
        "linear_regression": {"procedure": "linear_regression"},
        "decision_tree": {"procedure": "decision_tree"},
    },
    "serves": "linear_regression",
    "guard": {"deviations": 5, "min_rows": 10},
}


@dataclass
class Managed:
    """The world, its API, and the header of an administrator called anna."""

    world: World
    api: Api
    admin: dict[str, str]

    @property
    def base(self) -> str:
        return f"/management/tasks/{self.world.stage.task.name}"

    @property
    def engine(self) -> sa.Engine:
        return self.world.stage.engine

    @property
    def loaded(self) -> LoadedTask:
        """The pushed task as it serves at present."""
        return self.api.service.pushed_tasks["live"]

    def get(self, path: str) -> dict[str, Any]:
        """The JSON of what must be there."""
        told = self.api.client.get(path, headers=self.admin)
        assert told.status_code == 200, told.text
        body: dict[str, Any] = told.get_json()
        return body

    def post(self, path: str, **body: object) -> TestResponse:
        return self.api.client.post(path, json={"why": "test", **body}, headers=self.admin)

    def put(self, path: str, **body: object) -> TestResponse:
        return self.api.client.put(path, json={"why": "test", **body}, headers=self.admin)

    def audited(self) -> list[tuple[str, str, str]]:
        """Who did what with what outcome, newest first, without the uses of tokens."""
        rows = audit.newest(self.engine, limit=50)
        return [(row.who, row.action, row.outcome) for row in rows if row.action not in ("management", "training")]

    def learn(self, count: int, begin: int = 0) -> None:
        """Pushes rows whose target is twice their feature."""
        rows = [{"features": {"x": float(i % 9)}, "target": float(2 * (i % 9))} for i in range(begin, begin + count)]
        assert self.api.client.post("/train", json=rows).status_code == 200


def told(response: TestResponse) -> tuple[int, str]:
    """The status and the type of a problem."""
    return response.status_code, response.get_json()["type"]


@contextmanager
def managed(settings: Settings, engine: sa.Engine, folder: Path, *more: str) -> Iterator[Managed]:
    """The API in this process; versions of `naive` and `linear` are there, and no champion. `more`: tasks of ours."""
    world = make_world(settings, engine, folder)
    for name in more:
        shutil.copy(REPOSITORY / "tasks" / f"{name}.yaml", folder)
    with _opened(world, folder) as at:
        yield at


@contextmanager
def managed_without_mlflow(settings: Settings, engine: sa.Engine, folder: Path) -> Iterator[Managed]:
    """The same without data, versions and MLflow, which does not answer."""
    stage = Stage(settings, engine, a_task(features=(Feature(transform="lag", parameters={"n": 1}),)))
    folder.mkdir()
    (folder / f"{stage.task.name}.yaml").write_text(yaml.safe_dump(stage.task.model_dump(mode="json")))
    here = {"tasks": folder, "alias_poll_seconds": POLL_SECONDS, "mlflow_url": "http://127.0.0.1:9"}
    with _opened(World(stage, settings.model_copy(update=here), ()), folder) as at:
        yield at


@contextmanager
def _opened(world: World, folder: Path) -> Iterator[Managed]:
    (folder / "live.yaml").write_text(yaml.safe_dump(PUSHED))
    admin = bearer(token(world.stage.engine, "anna", Role.ADMIN))
    with open_api(world.settings) as api:
        yield Managed(world, api, admin)
