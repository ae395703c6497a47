"""How long a champion has had the title, and who had it before: carried from decision to decision."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Reign:
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

    def plain(self) -> dict[str, Any]:
        """The reign as JSON knows it; `of_plain` is the way back."""
        days = {name: day and day.isoformat() for name, day in (("since", self.since), ("moved", self.moved))}
        return {**vars(self), **days, "refused": list(self.refused)}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "Reign":
        """The reign that was written so."""
        since, moved = (plain[name] and date.fromisoformat(plain[name]) for name in ("since", "moved"))
        return cls(since, plain["before"], moved, plain["goes_on"], tuple(plain["refused"]))
