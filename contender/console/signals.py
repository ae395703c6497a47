"""Ctrl-C and SIGTERM as an exception that cannot be lost."""

import signal
from types import TracebackType
from typing import Any, Self


class Stopped(BaseException):
    """Somebody pressed Ctrl-C or sent SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        """As a shell says it of a program that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""


class Interrupts:
    """While entered, SIGINT and SIGTERM raise Stopped wherever the main thread is.

    An exception raised inside a finaliser or a library's callback is swallowed by Python; the wish is remembered all
    the same, so that `check` at the next step ends the run, and a second Ctrl-C works as the first.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        """The number of the signal that came last."""
        self._ignored = False
        self._before: dict[signal.Signals, Any] = {}

    def check(self) -> None:
        """Raises Stopped when a signal came and was not heeded."""
        if self.requested is not None and not self._ignored:
            raise Stopped(self.requested)

    def ignore(self) -> None:
        """From now on signals change nothing: the services are being stopped."""
        self._ignored = True

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _: object) -> None:
        self.requested = number
        self.check()
