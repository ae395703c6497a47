"""Ctrl-C and SIGTERM as an exception that cannot be lost."""

import signal
from types import TracebackType
from typing import Any, Self


class Stopped(BaseException):
    """SIGINT (Ctrl-C) or SIGTERM was received."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        """As a shell reports a program that a signal ended: 130 for SIGINT, 143 for SIGTERM."""


class Interrupts:
    """A context in which SIGINT and SIGTERM raise Stopped in the main thread."""

    def __init__(self) -> None:
        self.requested: int | None = None
        """The number of the last signal."""
        self._ignored = False
        self._before: dict[signal.Signals, Any] = {}

    def check(self) -> None:
        """Raise Stopped when a signal was received.

        To be called between steps: Python swallows an exception that is raised in a finaliser or a library's callback.
        """
        if self.requested is not None and not self._ignored:
            raise Stopped(self.requested)

    def ignore(self) -> None:
        """Ignore signals from now on, as while the services are stopped."""
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
