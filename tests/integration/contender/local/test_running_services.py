"""The embedded services after accidents: stale pid files, killed leaders, services files that somebody changed."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from contender.local import services, state
from contender.servers.processes import Postgres, Process, free_port, require_free_port, session, spawn
from core.config.settings import Settings
from core.errors import ConfigurationError
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

PARENT_WITH_CHILD = (
    "import subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('ready', flush=True); time.sleep(600)"
)


def answers(server: Postgres) -> bool:
    engine = sa.create_engine(server.start())
    with engine.connect() as connection:
        answered = connection.execute(sa.text("SELECT 1")).scalar_one() == 1
    engine.dispose()
    return answered


@pytest.mark.parametrize("left", ["", "1\n/elsewhere\n1\n5432\n/tmp\n\n1 1\nready\n"])
def test_postgres_starts_over_a_pid_file_left_by_a_crash(tmp_path: Path, left: str) -> None:
    server = Postgres(tmp_path / "data")
    assert answers(server)
    server.stop()
    (server.folder / "postmaster.pid").write_text(left)

    assert answers(server)
    server.stop()
    assert not server.has_started()


def test_a_pid_file_that_names_another_postgres_does_it_no_harm(postgres: Postgres, tmp_path: Path) -> None:
    server = Postgres(tmp_path / "data")
    server.start()
    server.stop()
    theirs = (postgres.folder / "postmaster.pid").read_text()
    (server.folder / "postmaster.pid").write_text(theirs)

    server.stop()

    assert psutil.pid_exists(int(theirs.split("\n", 1)[0]))
    assert answers(postgres)


def test_postgres_killed_at_once_comes_back_with_what_was_committed(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "data")
    engine = sa.create_engine(server.start())
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (n int)"))
        connection.execute(sa.text("INSERT INTO kept VALUES (7)"))
    engine.dispose()
    os.kill(int((server.folder / "postmaster.pid").read_text().split("\n", 1)[0]), signal.SIGKILL)

    engine = sa.create_engine(server.start())
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT n FROM kept")).scalar_one() == 7
    engine.dispose()
    server.stop()


def test_children_that_outlive_their_killed_leader_are_found_and_stopped(tmp_path: Path) -> None:
    process = spawn("pair", ["-c", PARENT_WITH_CHILD], Settings(home=tmp_path))
    wait_for(lambda: "ready" in process.log.read_text())
    written_down = state.Running.of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    assert process.child is not None
    process.child.wait(10)

    assert not written_down.alive()
    assert written_down.has_survivors()
    Process("pair", process.pid, process.log).stop()

    assert not written_down.has_survivors()
    assert session(process.pid) == []


def test_a_port_in_use_is_reported_with_another_to_choose() -> None:
    port = free_port()
    require_free_port(port, "the API", "CONTENDER_API_PORT")
    bound = f"import socket; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen();"
    code = bound + "print('up', flush=True); input()"
    squatter = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert squatter.stdout is not None
    squatter.stdout.readline()

    with pytest.raises(ConfigurationError, match="CONTENDER_API_PORT="):
        require_free_port(port, "the API", "CONTENDER_API_PORT")
    squatter.communicate(b"\n", timeout=60)


@pytest.mark.parametrize("content", ["", '{"database_url": "post', '{"a": 1}', "[]"])
def test_a_services_file_that_cannot_be_understood_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "services.json").write_text(content)

    with pytest.raises(ConfigurationError, match="Delete it"):
        state.read(Settings(home=tmp_path))


def test_what_is_written_down_is_read_again(tmp_path: Path) -> None:
    running = state.Running.of(os.getpid())
    urls = {"mlflow": "http://m", "features": "http://f"}
    stack = state.Stack("postgresql+psycopg2://x", urls, {"mlflow": running})

    state.write(Settings(home=tmp_path), stack)

    assert state.read(Settings(home=tmp_path)) == stack
    assert stack.runs("mlflow")
    assert not stack.runs("features")


def test_what_an_older_version_wrote_down_is_understood(tmp_path: Path) -> None:
    running = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    older = {"database_url": "d", "mlflow_url": "m", "api_url": "a", "supervisor": None, "mlflow": running, "api": None}
    (tmp_path / "services.json").write_text(json.dumps(older))

    stack = state.read(Settings(home=tmp_path))

    assert stack == state.Stack("d", {"mlflow": "m", "api": "a"}, {"mlflow": state.Running.of(os.getpid())})


def test_what_an_older_version_left_running_is_joined_and_the_rest_gets_addresses(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        mlflow_port=free_port(),
        api_port=free_port(),
        ingestion_port=free_port(),
        features_port=free_port(),
    )
    older = state.Stack("d", {"mlflow": "http://m"}, {"mlflow": state.Running.of(os.getpid())})
    state.write(settings, older)

    found = services.find(settings)

    assert list(found.processes) == ["mlflow"]
    assert found.stack.urls["mlflow"] == "http://m"
    assert found.stack.urls["ingestion"] == f"http://127.0.0.1:{settings.ingestion_port}"


@pytest.mark.parametrize("service", services.ALL, ids=lambda service: service.name)
def test_each_service_names_the_variable_of_its_port(service: services.ServiceSpec, tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        settings = Settings(home=tmp_path).model_copy(update={f"{service.name}_port": squatter.getsockname()[1]})

        with pytest.raises(ConfigurationError, match=f"{service.phrase} needs.*CONTENDER_{service.name.upper()}_PORT="):
            services.require_ports([service], settings)


def test_two_services_with_one_port_are_reported_before_either_starts(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings(home=tmp_path, api_port=port, features_port=port)

    with pytest.raises(ConfigurationError, match=f"Port {port} is given to the API and to the features service"):
        services.require_ports((services.API, services.FEATURES), settings)
