"""A background thread goes on after a fault, and says it once."""

import threading

from structlog.testing import capture_logs

from serving.runtime.complaints import LogOnce
from serving.runtime.periodic import PeriodicThread


def test_the_beat_goes_on_after_a_fault_which_is_logged_once() -> None:
    beats: list[int] = []
    enough = threading.Event()

    def beat() -> None:
        beats.append(1)
        if len(beats) >= 4:
            enough.set()
        raise ValueError("again")

    with capture_logs() as logs:
        rhythm = PeriodicThread("test", 0.001, beat)
        rhythm.start()
        assert enough.wait(10)
        rhythm.stop(10)

    assert len(logs) == 1
    assert logs[0]["cause"] == "ValueError: again"


def test_a_stopped_rhythm_beats_no_more() -> None:
    beats: list[int] = []
    rhythm = PeriodicThread("test", 0.001, lambda: beats.append(1))
    rhythm.start()

    rhythm.stop(10)

    count = len(beats)
    assert not any(thread.name == "test" for thread in threading.enumerate())
    assert len(beats) == count


def test_a_rhythm_that_is_woken_beats_before_its_time() -> None:
    beats: list[int] = []
    beaten = threading.Event()

    def beat() -> None:
        beats.append(1)
        beaten.set()

    rhythm = PeriodicThread("test", 600.0, beat)
    rhythm.start()
    assert beaten.wait(10)
    beaten.clear()

    rhythm.wake()

    assert beaten.wait(10)
    rhythm.stop(10)
    assert len(beats) == 2


def test_a_rhythm_that_never_began_can_be_stopped() -> None:
    PeriodicThread("test", 1.0, lambda: None).stop(1)


def test_a_lasting_trouble_is_told_when_it_begins_changes_and_ends() -> None:
    complaints = LogOnce()

    with capture_logs() as logs:
        for cause in ("gone", "gone", "gone", "hangs", "hangs"):
            complaints.open("postgres", "Postgres is away.", cause)
        complaints.close("postgres", "Postgres is back.")
        complaints.close("postgres", "Postgres is back.")

    assert [(entry["log_level"], entry.get("cause")) for entry in logs] == [
        ("error", "gone"), ("error", "hangs"), ("info", None),
    ]  # fmt: skip
