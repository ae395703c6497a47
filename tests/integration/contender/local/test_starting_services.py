"""A service is started and written down, or neither, whenever Ctrl-C comes."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contender.console.signals import Interrupts, Stopped
from contender.local import state
from contender.servers.processes import Process, session, spawn
from core.config.settings import SERVICES_FILE, Settings

SLEEP = ["-c", "import time; print('asleep', flush=True); time.sleep(600)"]


class Begun:
    """A start during which a signal comes (none: 0), and what it started."""

    def __init__(self, settings: Settings, number: int) -> None:
        self.settings = settings
        self.number = number
        self.processes: list[Process] = []

    def __call__(self) -> Process:
        self.processes.append(spawn("sleeper", SLEEP, self.settings))
        while "asleep" not in self.processes[0].log.read_text():  # before that, Python ends in its own way
            time.sleep(0.01)
        if self.number:
            os.kill(os.getpid(), self.number)
        return self.processes[0]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def begun(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Begun]:
    begun = Begun(settings, request.param)
    yield begun
    for process in begun.processes:
        process.stop()


def test_a_signal_between_the_start_and_the_note_stops_the_run_after_the_note(settings: Settings, begun: Begun) -> None:
    with Interrupts(), pytest.raises(Stopped):
        state.start(settings, state.Stack(urls={"mlflow": "http://m"}), "mlflow", begun)

    written = state.read(settings)
    assert written is not None
    assert written.processes["mlflow"] == state.Running.of(begun.processes[0].pid)
    assert written.urls == {"mlflow": "http://m"}


def test_afterwards_signals_mean_what_they_meant_and_the_child_heeds_them(settings: Settings, begun: Begun) -> None:
    before = signal.getsignal(begun.number)
    begun.number, number = 0, begun.number

    process, stack = state.start(settings, state.Stack(), "api", begun)

    assert signal.getsignal(number) == before
    assert stack.runs("api")
    os.kill(process.pid, number)
    assert process.child is not None
    assert process.child.wait(20) == -number


def test_a_service_that_cannot_be_written_down_is_stopped(settings: Settings, begun: Begun) -> None:
    begun.number = 0
    (settings.home / SERVICES_FILE).mkdir()

    with pytest.raises(IsADirectoryError):
        state.start(settings, state.Stack(), "api", begun)

    assert session(begun.processes[0].pid) == []
