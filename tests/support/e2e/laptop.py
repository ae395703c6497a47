"""A machine on which nothing was ever started: a home of its own, free ports, and Yahoo out of reach."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from contender.servers.processes import free_port
from tests.support.paths import REPOSITORY

SERVICES = ("mlflow", "api", "ingestion", "features")


class Laptop:
    """The command `contender` and the services it starts; `ports` are those that are not to be free ones."""

    def __init__(self, home: Path, ports: dict[str, int] | None = None, tasks: Path = REPOSITORY / "tasks") -> None:
        self.home = home
        self.tasks = tasks
        self._ports = {name: free_port() for name in SERVICES} | (ports or {})

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("CONTENDER_")},
            **{f"CONTENDER_{name.upper()}_PORT": str(port) for name, port in self._ports.items()},
            "CONTENDER_HOME": str(self.home),
            "CONTENDER_TASKS": str(self.tasks),
            "CONTENDER_YAHOO_URL": "http://127.0.0.1:9",
            "COLUMNS": "160",
        }

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self._ports[service]}"

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "contender", *arguments],
            cwd=REPOSITORY,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=280,
        )

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url("api") + path, timeout=60)

    def registry(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Calls MLflow's REST API as its web page does."""
        url = f"{self.url('mlflow')}/api/2.0/mlflow/{path}"
        answer = requests.request(method, url, json=body, timeout=60)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told
