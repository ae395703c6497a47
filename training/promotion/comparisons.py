"""What the rows so far say of a challenger against a champion: both predicted them before their labels were known.

A pair is carried from night to night as a few numbers. Rows brought in pieces leave the same pair, to the bit, as rows
brought at once; rows that it has seen are passed over.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from features.arrays import Days, Floats
from training.evaluation.board import Scoreboard
from training.evaluation.e_values import Evidence, Metric, bound, loss


@dataclass(frozen=True)
class Pair:
    """The rows after `since`, looked at up to `through`.

    `seen` counts the rows that had a label, `champion_said` and `challenger_said` those that each of them predicted,
    `champion_silent` the newest of them, of which the champion predicted none;
    `rows` those that both predicted, from `first` to `last`, with the sums of their losses; `leaking` those of them
    whose date one of the models had learned when it predicted, `differing` those in which they did not say the same.
    `rows_hash` names them all, with their labels.
    """

    since: date | None
    evidence: Evidence
    through: date | None = None
    seen: int = 0
    champion_said: int = 0
    champion_silent: int = 0
    challenger_said: int = 0
    rows: int = 0
    leaking: int = 0
    differing: int = 0
    first: date | None = None
    last: date | None = None
    champion_loss: float = 0.0
    challenger_loss: float = 0.0
    rows_hash: str = ""

    def after(self, board: Scoreboard, metric: Metric, champion: str, challenger: str) -> "Pair":
        """The same with the rows of a board that it has not looked at."""
        board = board.after(self.through or self.since)
        if not len(board.labels):
            return self
        theirs, mine = board.track(champion), board.track(challenger)
        said, replied = np.isfinite(theirs.values), np.isfinite(mine.values)
        both = said & replied
        dates, labels = board.target_dates[both], board.labels[both]
        p, q = theirs.values[both], mine.values[both]
        differences, bounds = np.full((2, len(both)), np.nan)
        leaks = (theirs.trained_through[both] >= dates) | (mine.trained_through[both] >= dates)
        losses = loss(metric, labels, p), loss(metric, labels, q)
        differences[both], bounds[both] = losses[0] - losses[1], bound(metric, p, q)
        counted = replace(
            self,
            evidence=self.evidence.after(differences, bounds),
            through=_day(board.target_dates[-1]),
            seen=self.seen + len(board.labels),
            champion_said=self.champion_said + int(said.sum()),
            champion_silent=_silent(self.champion_silent, said),
            challenger_said=self.challenger_said + int(replied.sum()),
        )
        if not len(dates):
            return counted
        return replace(
            counted,
            rows=self.rows + len(dates),
            leaking=self.leaking + int(leaks.sum()),
            differing=self.differing + int((p != q).sum()),
            first=self.first or _day(dates[0]),
            last=_day(dates[-1]),
            champion_loss=_added(self.champion_loss, losses[0]),
            challenger_loss=_added(self.challenger_loss, losses[1]),
            rows_hash=_chained(self.rows_hash, dates, labels),
        )

    @property
    def champion_mean(self) -> float:
        """The champion's mean loss over the rows; NaN without any."""
        return self.champion_loss / self.rows if self.rows else float("nan")

    @property
    def challenger_mean(self) -> float:
        """The challenger's mean loss over the rows; NaN without any."""
        return self.challenger_loss / self.rows if self.rows else float("nan")

    def plain(self) -> dict[str, Any]:
        """The pair as JSON knows it, to the bit; `of_plain` is the way back."""
        days = {name: _iso(getattr(self, name)) for name in ("since", "through", "first", "last")}
        return {**asdict(self), **days}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "Pair":
        """The pair that was written so."""
        days = {name: plain[name] and date.fromisoformat(plain[name]) for name in ("since", "through", "first", "last")}
        held = plain["evidence"]
        tuples = {
            name: tuple(None if value is None else float(value) for value in held[name])
            for name in ("logs", "differences", "bounds")
        }
        evidence = Evidence(**{**held, "bound": float(held["bound"]), **tuples})
        sums = {name: float(plain[name]) for name in ("champion_loss", "challenger_loss")}
        return cls(**{**plain, **days, **sums, "evidence": evidence})


def _silent(before: int, said: npt.NDArray[np.bool_]) -> int:
    """How many of the newest rows nobody predicted."""
    return before + len(said) if not said.any() else int(said[::-1].argmax())


def _added(total: float, terms: Floats) -> float:
    """One addition after the other: numpy's own sum adds in another order, which depends on how many there are."""
    return float(np.cumsum(np.concatenate([[total], terms]))[-1])


def _chained(before: str, dates: Days, labels: Floats) -> str:
    """16 hex digits of SHA-256 over the hash so far and the next row, row by row."""
    for day, label in zip(dates.astype("datetime64[D]").astype(np.int64).tolist(), labels.tolist(), strict=True):
        before = hashlib.sha256(before.encode() + struct.pack("<qd", day, label)).hexdigest()[:16]
    return before


def _day(day: np.datetime64) -> date:
    found: date = day.astype("datetime64[D]").item()
    return found


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
