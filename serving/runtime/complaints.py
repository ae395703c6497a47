"""Troubles that last: each is logged when it begins or changes, and when it is over, not every time it is met."""

from core.logs import get_log


class LogOnce:
    """What is wrong at present, by subject."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}
        self._log = get_log("serving")

    def open(self, subject: str, sentence: str, cause: str, **facts: object) -> None:
        """Logs a trouble, unless the same cause was the last thing said on the subject."""
        if self._open.get(subject) != cause:
            self._log.error(sentence, cause=cause, **facts)
        self._open[subject] = cause

    def close(self, subject: str, sentence: str) -> None:
        """Logs that a trouble is over, if there was one."""
        if self._open.pop(subject, None) is not None:
            self._log.info(sentence)
