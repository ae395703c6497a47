"""The registry on a real MLflow: absent is not unreachable, and what is served is what was trained."""

import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import Task
from core.errors import IntegrityError, RegistryUnreachableError
from features.transforms import columns
from tests.support.shared_servers import Mlflow
from tests.support.stage import Stage
from training.models.base import Model, deserialize, serialize
from training.models.catalog import Batch, make
from training.models.fitted import Linear
from training.registry import flavor, versions
from training.registry.base import POLL
from training.registry.client import MlflowRegistry
from training.registry.factory import open_registry

ROWS = np.random.default_rng(0).normal(100, 20, (200, 13))
CREATED = date(2020, 1, 31)

CLIENTS_OWN_SECONDS = 200
"""For about so long MLflow's own client goes on asking a server that does not answer."""


@pytest.fixture
def stage(settings_with_mlflow: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_mlflow, engine, months=30)


@pytest.fixture
def airline(settings: Settings) -> Task:
    return load_task(settings.tasks, "airline")


def trained(task: Task, name: str) -> Model:
    """A real model of a contender of the airline task."""
    rows = ROWS.copy()
    rows[:, 12] = np.arange(200) % 12 + 1
    labels = rows[:, 0] + 1
    contender = make(task, name)
    if isinstance(contender, Batch):
        return contender.fit(rows, labels)
    for row, label in zip(rows, labels, strict=True):
        contender.learn(row, label)
    return contender


@pytest.mark.parametrize("name", ["naive", "ridge", "seasonal-ridge", "linear", "holt-winters", "snarimax"])
def test_a_model_of_any_kind_loads_through_mlflow_pyfunc_with_one_schema(
    name: str, airline: Task, tmp_path: Path
) -> None:
    model = trained(airline, name)
    names = tuple(column.name for column in columns(airline))
    digest = flavor.save(model, tmp_path / "model", names, ROWS[:3], created=CREATED)
    frame = pd.DataFrame(ROWS[:5], columns=list(names))

    loaded = flavor.pyfunc().load_model(str(tmp_path / "model"))

    assert loaded.predict(frame[list(reversed(names))]).tolist() == model.predict(ROWS[:5]).tolist()
    assert [column.name for column in loaded.metadata.signature.inputs] == list(names)
    assert (tmp_path / "model" / "input_example.json").exists()
    assert flavor.load_model(tmp_path / "model").predict(ROWS).tolist() == model.predict(ROWS).tolist()
    assert digest == flavor.folder_digest(tmp_path / "model")


def test_the_same_model_makes_the_same_folder_to_the_byte_also_after_a_checkpoint(
    airline: Task, tmp_path: Path
) -> None:
    model = trained(airline, "linear")
    resumed = deserialize(serialize(model))
    names = tuple(column.name for column in columns(airline))

    first, second = (
        flavor.save(one, tmp_path / str(index), names, ROWS[:3], created=CREATED)
        for index, one in enumerate((model, resumed))
    )

    assert first == second


def test_a_registered_version_is_served_by_its_alias_in_mlflow(stage: Stage, tmp_path: Path) -> None:
    naive, linear = stage.versions("naive", "linear", value=3.5)
    stage.move_by_hand("champion", linear.version)
    mlflow_pyfunc = flavor.pyfunc()
    import mlflow

    mlflow.set_tracking_uri(stage.settings.mlflow_url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = mlflow_pyfunc.load_model(f"models:/{stage.task.name}@champion", dst_path=str(tmp_path))
    finally:
        mlflow.set_tracking_uri(None)

    assert loaded.predict(pd.DataFrame({"in_1": [1.0, 2.0]})).tolist() == pytest.approx([3.511, 3.512])
    assert (naive.version, linear.version) == (1, 2)
    assert open_registry(stage.settings).aliases(stage.task.name) == {"champion": 2}


def test_what_is_downloaded_has_the_digest_that_was_recorded(stage: Stage, tmp_path: Path) -> None:
    (version,) = stage.versions("ridge")

    folder = open_registry(stage.settings).download(stage.task.name, version.version, tmp_path / "model")

    assert flavor.folder_digest(folder) == version.artifact_digest
    assert flavor.load_model(folder) == Linear((0.001,), 1.0)


def test_one_flipped_byte_in_the_store_changes_the_digest(stage: Stage, tmp_path: Path, mlflow_server: Mlflow) -> None:
    (version,) = stage.versions("ridge")
    (stored,) = mlflow_server.home.rglob(f"{version.run_id}/artifacts/model/data/model.pkl")
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(bytes(content))

    folder = open_registry(stage.settings).download(stage.task.name, version.version, tmp_path / "model")

    assert flavor.folder_digest(folder) != version.artifact_digest


def test_a_digest_sees_names_contents_and_their_borders(tmp_path: Path) -> None:
    digests = set()
    for index, files in enumerate([{"a": b"xy"}, {"b": b"xy"}, {"a": b"x", "b": b"y"}, {"c/a": b"xy"}, {"a": b""}]):
        for name, content in files.items():
            path = tmp_path / str(index) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        digests.add(flavor.folder_digest(tmp_path / str(index)))

    assert len(digests) == 5


def test_a_packed_folder_unpacks_to_the_same_digest(tmp_path: Path) -> None:
    (tmp_path / "model" / "data").mkdir(parents=True)
    (tmp_path / "model" / "MLmodel").write_text("a card")
    (tmp_path / "model" / "data" / "model.pkl").write_bytes(bytes(range(256)))

    content = flavor.pack(tmp_path / "model")

    assert content == flavor.pack(tmp_path / "model")
    unpacked = flavor.unpack(content, tmp_path / "again")
    assert flavor.folder_digest(unpacked) == flavor.folder_digest(tmp_path / "model")


def test_a_server_that_is_down_is_unreachable_at_once() -> None:
    begun = time.monotonic()

    with pytest.raises(RegistryUnreachableError, match="did not answer"):
        MlflowRegistry("http://127.0.0.1:9", POLL).aliases("spy")

    assert time.monotonic() - begun < CLIENTS_OWN_SECONDS


def test_a_server_that_hangs_is_unreachable_within_two_seconds() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        hanging = MlflowRegistry(f"http://127.0.0.1:{silent.getsockname()[1]}", POLL)
        begun = time.monotonic()

        with pytest.raises(RegistryUnreachableError):
            hanging.aliases("spy")

        assert time.monotonic() - begun < CLIENTS_OWN_SECONDS


@pytest.mark.parametrize(("status", "body"), [(403, b"Invalid Host header"), (500, b"{}"), (200, b"<html>")])
def test_a_server_that_does_not_answer_as_mlflow_does_is_unreachable_not_absent(status: int, body: bytes) -> None:
    with answering(status, body) as url, pytest.raises(RegistryUnreachableError):
        MlflowRegistry(url, POLL).aliases("spy")


def test_a_number_given_out_twice_is_refused(stage: Stage) -> None:
    """A registered model that was deleted begins again at 1."""
    (version,) = stage.versions("ridge")
    other = versions.Version(**{**vars(version), "contender": "linear", "artifact_digest": "0" * 64})

    with pytest.raises(IntegrityError, match="a second time"), stage.engine.begin() as connection:
        versions.record(connection, other)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """An HTTP server that answers everything in one way."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
