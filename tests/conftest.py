"""Real services for the tests: one embedded Postgres and one MLflow server a run, a fresh schema a test."""

import logging
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
import structlog

from contender.servers.processes import Postgres
from core.config.settings import Settings, keep_loopback_from_proxies
from core.db.engine import connect
from tests.support import tables
from tests.support.paths import REPOSITORY
from tests.support.shared_servers import Mlflow, SharedServers, end

# The same examples in every run, however slow the machine is: a failure is the code's, never the day's.
hypothesis.settings.register_profile(
    "contender",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("contender")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keeps the tests from any proxy, and gives the session a base folder that is removed at its end.

    `--basetemp=FOLDER` keeps it. pytest's default lies in one folder a user, which every session closes to others
    when it begins; run as root, the embedded Postgres works as another user and could no longer enter.
    """
    keep_loopback_from_proxies()
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="contender-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))
    if not hasattr(config, "workerinput"):
        config.add_cleanup(lambda: end(Path(config.option.basetemp)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs MLflow, and what walks through the whole; files that start processes mark themselves."""
    whole = REPOSITORY / "tests" / "e2e"
    for item in items:
        if "mlflow_server" in getattr(item, "fixturenames", ()) or item.path.is_relative_to(whole):
            item.add_marker("slow")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI a skipped test is a failure."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Commands send logs to standard error as it is then; a test's own is closed when it ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells each worker of pytest-xdist of the servers that it shares with the others."""
    shared = servers_of(node.config)
    node.workerinput["servers"] = str(shared.folder), shared.controller


def servers_of(config: pytest.Config) -> SharedServers:
    """The servers of this run; none is started yet."""
    here = (config.option.basetemp, os.getpid())
    folder, controller = getattr(config, "workerinput", {}).get("servers", here)
    return SharedServers(Path(folder), controller)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SharedServers:
    """The servers of this run, in its base folder."""
    tmp_path_factory.getbasetemp()  # pytest empties the folder when it is first asked for
    return servers_of(request.config)


@pytest.fixture(scope="session")
def postgres(servers: SharedServers) -> Postgres:
    """The real Postgres of this run, in a folder of its own."""
    return servers.postgres()


@pytest.fixture(scope="session")
def mlflow_server(servers: SharedServers) -> Mlflow:
    """The real MLflow server of this run; tests keep apart by task names."""
    return servers.mlflow()


@pytest.fixture(scope="session")
def database_url(postgres: Postgres) -> str:
    """The URL of this worker's own database, in which each test gets a schema. Leases are held per database."""
    return postgres.database(f"contender_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")


@pytest.fixture(scope="session")
def migrated(servers: SharedServers, database_url: str) -> str:
    """The statements that make the migrated tables."""
    return servers.once("tables", lambda: tables.of_the_migrations(database_url))


@pytest.fixture
def schema() -> str:
    """The name of this test's schema."""
    return f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def _connections_given_back() -> Iterator[None]:
    """A service made in this process keeps its connections until it is garbage; Postgres has a hundred in all.

    Those of its pools, and those that it has taken out for good, as learners do.
    """
    used: weakref.WeakSet[sa.Connection] = weakref.WeakSet()
    engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()

    def note(connection: sa.Connection) -> None:
        used.add(connection)
        engines.add(connection.engine)

    sa.event.listen(sa.Engine, "engine_connect", note)
    yield
    sa.event.remove(sa.Engine, "engine_connect", note)
    for connection in list(used):
        if not connection.closed:
            connection.invalidate()
            connection.close()
    for engine in list(engines):
        engine.dispose()


@pytest.fixture
def engine(database_url: str, schema: str, migrated: str) -> Iterator[sa.Engine]:
    """An engine on a fresh schema with all tables."""
    engine = connect(database_url, schema=schema)
    tables.make(engine, schema, migrated)
    yield engine
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


@pytest.fixture
def settings(engine: sa.Engine, database_url: str, schema: str, tmp_path: Path) -> Settings:
    """Settings of a fresh home on this test's schema; without MLflow."""
    return Settings(
        home=tmp_path / "home",
        tasks=REPOSITORY / "tasks",
        database_url=database_url,
        schema_name=schema,
        yahoo_url="http://127.0.0.1:9",
    )


@pytest.fixture
def settings_with_mlflow(settings: Settings, mlflow_server: Mlflow) -> Settings:
    """The same, with the session's MLflow server."""
    return settings.model_copy(update={"mlflow_url": mlflow_server.url})


@pytest.fixture
def settings_with_registry(settings: Settings, tmp_path: Path) -> Settings:
    """The same, with a model registry in a folder of the test's own (`training.registry.file_registry`)."""
    folder = tmp_path / "registry"
    folder.mkdir()
    return settings.model_copy(update={"mlflow_url": folder.as_uri()})
