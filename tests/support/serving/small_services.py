"""The ingestion and the features service as processes of their own, on free ports."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from contender.servers.processes import Process, free_port, spawn, wait_for_http
from core.config.settings import Settings


@dataclass
class Running:
    """A service and its process."""

    url: str
    process: Process


@contextmanager
def serving(name: Literal["ingestion", "features"], settings: Settings, **changes: object) -> Iterator[Running]:
    """The service under its real server, ended by SIGTERM."""
    port = free_port()
    settings = settings.model_copy(update={f"{name}_port": port, **changes})
    process = spawn(name, ["-m", f"{name}.api"], settings)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_http(f"{url}/health", process, 200)
        yield Running(url, process)
    finally:
        with suppress(ProcessLookupError):
            process.stop()
