"""One clock for the whole world, where a test puts the job's clock the machine's stands as well; and the command."""

from datetime import datetime

import pytest

import ingestion.job
from core.jobs.clock import FixedClock
from tests.integration.stage import Stage
from tests.integration.terminal import Terminal


class _Following:
    """The machine's clock as of the instant that a job's clock told last; the real one until then."""

    def __init__(self) -> None:
        self.machine = ingestion.job.MACHINE
        self.told: datetime | None = None

    def now(self) -> datetime:
        return self.told or self.machine.now()


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets tests live through days in a moment. `ingestion.job.MACHINE` is the machine's clock for what is fetched."""
    following = _Following()
    tell = FixedClock.now

    def now(clock: FixedClock) -> datetime:
        following.told = tell(clock)
        return following.told

    monkeypatch.setattr(FixedClock, "now", now)
    monkeypatch.setattr(ingestion.job, "MACHINE", following)


@pytest.fixture
def contender(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The command, in the home of the test's own `stage`."""
    return Terminal(stage.settings, monkeypatch)
