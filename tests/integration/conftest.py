"""One clock for the whole world: where a test puts the job's clock, the machine's stands as well."""

from datetime import datetime

import pytest

import ingestion.job
from core.clock import FixedClock


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
