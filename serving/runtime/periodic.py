"""A thread that calls one function periodically and survives its faults; troubles that are logged once."""

import threading
from collections.abc import Callable
from time import monotonic

from core.logs import get_log


class PeriodicThread:
    """Calls `action` every `seconds`, from a thread of its own, until stopped.

    An exception of the action is logged once per cause, and the next call comes all the same.
    """

    def __init__(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._seconds = seconds
        self._action = action
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._log = get_log("serving")
        self._logged_cause = ""

    def start(self) -> None:
        """Starts the thread; the first call comes at once."""
        self._thread.start()

    def wake(self) -> None:
        """Brings the next call forward: it comes as soon as the one under way has returned."""
        self._woken.set()

    def stop(self, seconds: float = 2.0) -> None:
        """Ends the thread after the call under way, waiting for it at most `seconds`."""
        self._stopped.set()
        self._woken.set()
        # A thread that was never started cannot be joined.
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            # Cleared before the call and not after it: a wake during the call then shortens the wait that follows.
            self._woken.clear()
            started = monotonic()
            self._call()
            if not self._stopped.is_set():
                self._woken.wait(max(0.0, self._seconds - (monotonic() - started)))

    def _call(self) -> None:
        try:
            self._action()
            self._logged_cause = ""
        # A thread that died unseen would leave a service that answers and no longer learns of anything new.
        except Exception as fault:  # noqa: BLE001 (logged below)
            cause = f"{type(fault).__name__}: {fault}"
            if cause != self._logged_cause:
                self._log.exception("A background thread failed and goes on.", thread=self._thread.name, cause=cause)
            self._logged_cause = cause


class LogOnce:
    """Logs a lasting problem when it begins or its cause changes, and when it is over; not every time it is met."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._log = get_log("serving")

    def problem(self, subject: str, message: str, cause: str, **facts: object) -> None:
        """Logs a problem, unless this cause was the last one logged for the subject."""
        if self._problems.get(subject) != cause:
            self._log.error(message, cause=cause, **facts)
        self._problems[subject] = cause

    def resolved(self, subject: str, message: str) -> None:
        """Logs that the problem of a subject is over, if there was one."""
        if self._problems.pop(subject, None) is not None:
            self._log.info(message)
