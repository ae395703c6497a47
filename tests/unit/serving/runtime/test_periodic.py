"""A background thread goes on after a fault, and logs it once."""

import threading

from structlog.testing import capture_logs

from serving.runtime.periodic import LogOnce, PeriodicThread


def test_the_thread_goes_on_after_a_fault_which_is_logged_once() -> None:
    calls: list[int] = []
    enough = threading.Event()

    def action() -> None:
        calls.append(1)
        if len(calls) >= 4:
            enough.set()
        raise ValueError("again")

    with capture_logs() as logs:
        thread = PeriodicThread("test", 0.001, action)
        thread.start()
        assert enough.wait(10)
        thread.stop(10)

    assert len(logs) == 1
    assert logs[0]["cause"] == "ValueError: again"


def test_a_stopped_thread_calls_no_more() -> None:
    calls: list[int] = []
    thread = PeriodicThread("test", 0.001, lambda: calls.append(1))
    thread.start()

    thread.stop(10)

    count = len(calls)
    assert not any(thread.name == "test" for thread in threading.enumerate())
    assert len(calls) == count


def test_a_thread_that_is_woken_calls_before_its_time() -> None:
    calls: list[int] = []
    called = threading.Event()

    def action() -> None:
        calls.append(1)
        called.set()

    thread = PeriodicThread("test", 600.0, action)
    thread.start()
    assert called.wait(10)
    called.clear()

    thread.wake()

    assert called.wait(10)
    thread.stop(10)
    assert len(calls) == 2


def test_a_thread_that_never_started_can_be_stopped() -> None:
    PeriodicThread("test", 1.0, lambda: None).stop(1)


def test_a_lasting_problem_is_logged_when_it_begins_changes_and_ends() -> None:
    log_once = LogOnce()

    with capture_logs() as logs:
        for cause in ("gone", "gone", "gone", "hangs", "hangs"):
            log_once.problem("postgres", "Postgres is away.", cause)
        log_once.resolved("postgres", "Postgres is back.")
        log_once.resolved("postgres", "Postgres is back.")

    assert [(entry["log_level"], entry.get("cause")) for entry in logs] == [
        ("error", "gone"), ("error", "hangs"), ("info", None),
    ]  # fmt: skip
