"""What a source of data is, and what it hands over: raw rows, unchecked."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from core.errors import SourceUnreachableError

PRICES = ("open", "high", "low", "close")
SESSION_FIELDS = (*PRICES, "volume", "dividend", "split")
"""What an observation of a session series holds: raw prices, shares traded, cash paid per (post-split) share on its
ex-date, shares that one share became (1 on every other day)."""
MONTH_FIELDS = ("value",)


class RateLimitedError(SourceUnreachableError):
    """The rate limit of a source."""


class NoNetworkError(SourceUnreachableError):
    """The request never reached the source: no network, no name service, no listener."""


@dataclass(frozen=True)
class RawRow:
    """One row as a source sent it, unchecked.

    `stamp` is a date, or an instant where the source gave a time of day, or None where its date could not be read.
    Values that are absent or could not be read are NaN.
    """

    stamp: date | datetime | None
    fields: dict[str, float]


class Source(Protocol):
    """Where the rows of one task's series come from.

    `series` is the task's own, except from a source that holds one series only.
    """

    name: str
    series: str

    def fingerprint(self) -> str:
        """Names the content that `fetch` would give, at little cost; empty when only a request can tell.

        A source without one is requested once a day; with one, it is read again when its content has changed.
        """
        ...

    def fetch(self, since: date | None) -> list[RawRow]:
        """The rows from `since` on (None: from the task's start), or more.

        Raises SourceUnreachableError when it did not answer, DataRefusedError when what it answered has no use.
        """
        ...
