"""How long a champion has had the title, and who had it before: carried from decision to decision."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

_FIXED = "@v"


def fixed_name(contender: str, version: int) -> str:
    """What a version is called that stays as it was and is asked for the rows of its probation."""
    return f"{contender}{_FIXED}{version}"


def is_fixed(name: str) -> bool:
    """Whether a name is that of such a version: it is no challenger, and uses nothing of alpha.

    >>> is_fixed(fixed_name("forest", 7)), is_fixed("forest"), is_fixed("forest@0123456789abcdef")
    (True, False, False)
    """
    return _FIXED in name


@dataclass(frozen=True)
class Tenure:
    """What the last decision knew of the champion's reign.

    `since`: the last date that its crowning looked at. `before`: the version that the champion alias stood on until
    the move at `moved`; `goes_on` says whether its contender predicts for it (after a succession), or it stays as it
    was (after a refresh). `refused`: versions that were judged and rejected, which are not asked again.
    """

    since: date | None
    before: int | None = None
    moved: date | None = None
    goes_on: bool = False
    refused: tuple[int, ...] = ()

    def over(self) -> "Tenure":
        """The same without a probation."""
        return replace(self, before=None, moved=None, goes_on=False)

    def plain(self) -> dict[str, Any]:
        """The reign as JSON knows it; `of_plain` is the way back."""
        days = {name: day and day.isoformat() for name, day in (("since", self.since), ("moved", self.moved))}
        return {**vars(self), **days, "refused": list(self.refused)}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "Tenure":
        """The reign that was written so."""
        since, moved = (plain[name] and date.fromisoformat(plain[name]) for name in ("since", "moved"))
        return cls(since, plain["before"], moved, plain["goes_on"], tuple(plain["refused"]))
