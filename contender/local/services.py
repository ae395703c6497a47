"""The services that `contender up` starts beside PostgreSQL, in one table, and those of them that run already."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from contender.local import state
from contender.servers import mlflow
from contender.servers.processes import Postgres, Process, require_free_port, spawn, wait_for_http
from core.config.settings import Settings
from core.errors import ConfigurationError

STOP_SECONDS = 30  # the API stores its queue and its learners before it ends
_READY, _ALIVE = "/health/ready", "/health"


@dataclass(frozen=True)
class ServiceSpec:
    """One row of the table. `name` is also that of its settings, of its log and of its entry in `services.json`."""

    name: str
    label: str
    phrase: str
    """As it is called within a sentence."""
    command: Callable[[Settings], list[str]]
    """The arguments with which Python is started."""
    health: str
    """The path that answers 200 once the service is ready."""
    start_seconds: float = 60
    environment: Mapping[str, str] = field(default_factory=dict)

    def host(self, settings: Settings) -> str:
        """The interface on which it listens."""
        host: str = getattr(settings, f"{self.name}_host", "127.0.0.1")
        return host

    def port(self, settings: Settings) -> int:
        """The port on which it listens."""
        port: int = getattr(settings, f"{self.name}_port")
        return port

    def url(self, settings: Settings) -> str:
        """The address at which it answers."""
        return f"http://{self.host(settings)}:{self.port(settings)}"

    @property
    def variable(self) -> str:
        """The environment variable that sets its port."""
        return f"CONTENDER_{self.name.upper()}_PORT"

    def start(self, settings: Settings) -> Process:
        """Start it as a process of its own session, which logs to `home/logs/NAME.log`."""
        return spawn(self.name, self.command(settings), settings, dict(self.environment))

    def wait(self, url: str, process: Process) -> None:
        """Return when the service is ready; raise ContenderError when it ends first or takes too long."""
        wait_for_http(f"{url}{self.health}", process, self.start_seconds)


def postgres(settings: Settings) -> Postgres:
    """The embedded PostgreSQL of a home."""
    return Postgres(settings.home / "postgres" / "data")


def _module(name: str) -> Callable[[Settings], list[str]]:
    return lambda _: ["-m", name]


def _mlflow(settings: Settings) -> list[str]:
    return mlflow.arguments(settings, postgres(settings).database("mlflow"), settings.mlflow_port)


MLFLOW: Final = ServiceSpec(
    "mlflow", "MLflow", "MLflow", _mlflow, mlflow.API_CALL, mlflow.START_SECONDS, mlflow.ENVIRONMENT
)
# Ready means that the models are loaded; the small services have none.
API: Final = ServiceSpec("api", "API", "the API", _module("serving"), _READY)
INGESTION: Final = ServiceSpec("ingestion", "ingestion", "the ingestion service", _module("ingestion.api"), _ALIVE)
FEATURES: Final = ServiceSpec("features", "features", "the features service", _module("features.api"), _ALIVE)
ALL: Final = (MLFLOW, API, INGESTION, FEATURES)
"""In the order in which `contender status` shows them."""


class RunningServices:
    """The services that run, by name, and their record on disk, which is replaced whenever one is started."""

    def __init__(self, stack: state.Stack, processes: dict[str, Process]) -> None:
        self.stack = stack
        self.processes = processes

    def start(self, service: ServiceSpec, settings: Settings) -> None:
        """Start a service unless it runs already."""
        if service.name not in self.processes:
            self.processes[service.name], self.stack = state.start(
                settings, self.stack, service.name, lambda: service.start(settings)
            )

    def wait(self, service: ServiceSpec) -> str:
        """The address of a started service, once it is ready. Raises ContenderError when it fails."""
        url = self.stack.urls[service.name]
        service.wait(url, self.processes[service.name])
        return url


def find(settings: Settings) -> RunningServices:
    """The services that an earlier `contender up` left running, ready to have the others started beside them.

    Stops the children of services that were killed. Raises ConfigurationError when a port that is needed is in use.
    """
    known = state.read(settings) or state.Stack()
    for service in ALL:
        running = known.processes.get(service.name)
        if running is not None and not running.alive() and running.has_survivors():
            process(settings, service.name, running).stop(grace_seconds=STOP_SECONDS)
    names = [service.name for service in ALL if known.runs(service.name)]
    missing = [service for service in ALL if service.name not in names]
    require_ports(missing, settings)
    urls = {**known.urls, **{service.name: service.url(settings) for service in missing}}
    found = {name: process(settings, name, known.processes[name]) for name in names}
    return RunningServices(replace(known, urls=urls), found)


def process(settings: Settings, name: str, running: state.Running) -> Process:
    """A process that an earlier command started, with its log."""
    log: Path = settings.home / "logs" / f"{name}.log"
    return Process(name, running.pid, log)


def require_ports(services: Iterable[ServiceSpec], settings: Settings) -> None:
    """Raise ConfigurationError when two services have the same port, or another program listens on one."""
    taken: dict[int, ServiceSpec] = {}
    for service in services:
        port = service.port(settings)
        if port in taken:
            raise ConfigurationError(
                f"Port {port} is given to {taken[port].phrase} and to {service.phrase}.",
                f"Choose another for one of them: {service.variable} or {taken[port].variable}.",
            )
        taken[port] = service
        require_free_port(port, service.phrase, service.variable)
