"""What one worker of the API runs beside its requests."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.serving.managed import Managed, managed_without_mlflow
from tests.support.waiting import wait_for

THREADS = {
    "alias-poller", "audit", "checkpointer", "loader", "log-listener", "prediction-log-shipper",
    "prediction-log-writer", "registrar",
}  # fmt: skip


@pytest.fixture
def before() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.fixture
def at(before: set[threading.Thread], settings: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Managed]:
    with managed_without_mlflow(settings, engine, tmp_path / "tasks") as at:
        yield at


def test_a_worker_has_one_thread_for_each_of_its_duties_and_ends_them_all(
    at: Managed, before: set[threading.Thread]
) -> None:
    running = {thread.name for thread in set(threading.enumerate()) - before}

    at.learn(5)
    at.api.service.stop()

    assert running == THREADS
    wait_for(lambda: not set(threading.enumerate()) - before)  # `stop` waits some seconds for each, and no longer
