"""A thread that calls one function at a steady beat and outlives the function's faults."""

import threading
from collections.abc import Callable
from time import monotonic

from core.logs import get_log


class PeriodicThread:
    """Calls `beat` every `seconds`, from a thread of its own, until stopped.

    A fault of a beat is logged once per cause, and the next beat comes all the same: a thread that died unseen would
    leave a service that answers and no longer learns of anything new.
    """

    def __init__(self, name: str, seconds: float, beat: Callable[[], None]) -> None:
        self._seconds = seconds
        self._beat = beat
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._log = get_log("serving")
        self._told = ""

    def start(self) -> None:
        """Begins; the first beat comes at once."""
        self._thread.start()

    def wake(self) -> None:
        """Brings the next beat forward: it comes as soon as the one under way is over."""
        self._woken.set()

    def stop(self, seconds: float) -> None:
        """Ends after the beat that is under way, waiting for it at most `seconds`."""
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._woken.clear()
            started = monotonic()
            self._one_beat()
            if not self._stopped.is_set():
                self._woken.wait(max(0.0, self._seconds - (monotonic() - started)))

    def _one_beat(self) -> None:
        try:
            self._beat()
            self._told = ""
        except Exception as fault:  # noqa: BLE001 (told below; a thread that died unseen would be worse)
            cause = f"{type(fault).__name__}: {fault}"
            if cause != self._told:
                self._log.exception("A background thread failed and goes on.", thread=self._thread.name, cause=cause)
            self._told = cause
