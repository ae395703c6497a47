"""What a worker of the API is made of: the clock that it goes by."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.jobs.clock import Clock, FileClock, SystemClock
from serving import app, worker

DAY = datetime(2005, 1, 3, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize("is_in_file", [True, False])
def test_a_worker_goes_by_the_clock_that_a_file_tells_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_in_file: bool
) -> None:
    FileClock(tmp_path / "clock").move_to(DAY)
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path))
    monkeypatch.setenv("CONTENDER_CLOCK_FILE", str(tmp_path / "clock") if is_in_file else "")
    given: list[Clock | None] = []

    def create(_: object, clock: Clock | None) -> SimpleNamespace:
        given.append(clock)
        return SimpleNamespace(extensions={app.EXTENSION: SimpleNamespace(stop=None)})

    monkeypatch.setattr(app, "create_app", create)
    for name in ("restore_sigterm", "configure_logs", "Finalize"):
        monkeypatch.setattr(worker, name, lambda *_, **__: None)

    worker.make()

    (clock,) = given
    assert isinstance(clock, FileClock if is_in_file else SystemClock)
    assert (clock.now() == DAY) is is_in_file
