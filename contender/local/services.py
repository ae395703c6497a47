"""The services that `contender up` starts beside PostgreSQL: where each listens, how it begins, when it is ready."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from contender.servers.processes import (
    Postgres,
    Process,
    require_free_port,
    spawn,
    start_mlflow,
    wait_for_http,
    wait_for_mlflow,
)
from core.config.settings import Settings
from core.errors import ConfigurationError

START_SECONDS = 60


@dataclass(frozen=True)
class ServiceSpec:
    """One row of the table. `name` is that of its settings, of its log and in `services.json`."""

    name: str
    title: str
    called: str
    """As a sentence has it."""
    begin: Callable[[Settings], Process]
    wait: Callable[[str, Process], None]
    """Returns when the service of this address is ready; raises ContenderError when it will not be."""

    def host(self, settings: Settings) -> str:
        """The interface on which it listens."""
        host: str = getattr(settings, f"{self.name}_host", "127.0.0.1")
        return host

    def port(self, settings: Settings) -> int:
        """The port on which it listens."""
        port: int = getattr(settings, f"{self.name}_port")
        return port

    def url(self, settings: Settings) -> str:
        """Where it answers."""
        return f"http://{self.host(settings)}:{self.port(settings)}"

    @property
    def variable(self) -> str:
        """The environment variable that names its port."""
        return f"CONTENDER_{self.name.upper()}_PORT"


def postgres(settings: Settings) -> Postgres:
    """The embedded PostgreSQL of a home."""
    return Postgres(settings.home / "postgres" / "data")


def require_ports(services: Iterable[ServiceSpec], settings: Settings) -> None:
    """Raises ConfigurationError when two services have the same port, or another program listens on one."""
    taken: dict[int, ServiceSpec] = {}
    for service in services:
        port = service.port(settings)
        if port in taken:
            raise ConfigurationError(
                f"Port {port} is given to {taken[port].called} and to {service.called}.",
                f"Choose another for one of them: {service.variable} or {taken[port].variable}.",
            )
        taken[port] = service
        require_free_port(port, service.called, service.variable)


def _mlflow(settings: Settings) -> Process:
    return start_mlflow(settings, postgres(settings).database("mlflow"), settings.mlflow_port)


def _module(name: str, module: str) -> Callable[[Settings], Process]:
    return lambda settings: spawn(name, ["-m", module], settings)


def _answers(path: str) -> Callable[[str, Process], None]:
    return lambda url, process: wait_for_http(f"{url}{path}", process, START_SECONDS)


MLFLOW: Final = ServiceSpec("mlflow", "MLflow", "MLflow", _mlflow, wait_for_mlflow)
API: Final = ServiceSpec("api", "API", "the API", _module("api", "serving"), _answers("/health/ready"))
INGESTION: Final = ServiceSpec(
    "ingestion", "ingestion", "the ingestion service", _module("ingestion", "ingestion.api"), _answers("/health")
)
FEATURES: Final = ServiceSpec(
    "features", "features", "the features service", _module("features", "features.api"), _answers("/health")
)
ALL: Final = (MLFLOW, API, INGESTION, FEATURES)
"""As `contender status` shows them."""
