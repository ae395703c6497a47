"""The services of one `contender up`: those that an earlier one left running, and those that it starts itself."""

from dataclasses import replace
from functools import partial

from contender.local import services as service_specs
from contender.local import state
from contender.local.services import ServiceSpec
from contender.servers.processes import Process
from core.config.settings import Settings

STOP_SECONDS = 30


class RunningServices:
    """The services as they stand, written down whenever one is started."""

    def __init__(self, stack: state.Stack, processes: dict[str, Process]) -> None:
        self.stack = stack
        self.processes = processes

    def begin(self, service: ServiceSpec, settings: Settings) -> None:
        """Starts a service unless it runs already."""
        if service.name not in self.processes:
            begin = partial(service.begin, settings)
            self.processes[service.name], self.stack = state.start(settings, self.stack, service.name, begin)

    def wait(self, service: ServiceSpec) -> str:
        """Returns the address of a service that was begun, once it is ready; raises ContenderError when it fails."""
        url = self.stack.urls[service.name]
        service.wait(url, self.processes[service.name])
        return url


def find(settings: Settings) -> RunningServices:
    """What runs already. What was left of anything else is stopped, and the ports needed are seen to be free."""
    known = state.read(settings) or state.Stack()
    for service in service_specs.ALL:
        running = known.processes.get(service.name)
        if running is not None and not running.alive() and running.left():
            process(settings, service.name, running).stop(grace_seconds=STOP_SECONDS)
    names = [service.name for service in service_specs.ALL if known.runs(service.name)]
    missing = [service for service in service_specs.ALL if service.name not in names]
    service_specs.require_ports(missing, settings)
    urls = {**known.urls, **{service.name: service.url(settings) for service in missing}}
    found = {name: process(settings, name, known.processes[name]) for name in names}
    return RunningServices(replace(known, urls=urls), found)


def process(settings: Settings, name: str, running: state.Running) -> Process:
    """A process that an earlier run started, with its log."""
    return Process(name, running.pid, settings.home / "logs" / f"{name}.log")
