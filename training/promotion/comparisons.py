"""What the rows so far say of contenders: pair by pair, and ranked on the rows that all of them predicted.

Both are kept from session to session as a few numbers. Rows brought in pieces leave the same numbers, to the bit, as
rows brought at once; rows that were counted before are skipped.
"""

import hashlib
import struct
from collections.abc import Mapping
from datetime import date

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field
from msgspec.structs import replace

from features.arrays import Days, Floats
from training.evaluation.e_values import Evidence, Metric, bound, loss
from training.evaluation.scoreboard import Scoreboard, as_date


class Pair(Struct, frozen=True):
    """A challenger against a champion: the rows after `since`, of which those up to `through` are counted.

    `seen` counts the labelled rows, `champion_predicted` and `challenger_predicted` those that each of them predicted,
    `champion_missing` the newest rows in a row without a prediction of the champion. `rows` are those that both
    predicted, from `first` to `last`, with the sums of their losses; `leaking` those of them whose date one of the
    models had learned when it predicted, `differing` those with two different predictions. `rows_hash` names the rows
    and their labels.
    """

    since: date | None
    evidence: Evidence
    through: date | None = None
    seen: int = 0
    champion_predicted: int = field(default=0, name="champion_said")
    champion_missing: int = field(default=0, name="champion_silent")
    challenger_predicted: int = field(default=0, name="challenger_said")
    rows: int = 0
    leaking: int = 0
    differing: int = 0
    first: date | None = None
    last: date | None = None
    champion_loss: float = 0.0
    challenger_loss: float = 0.0
    rows_hash: str = ""

    def after(self, board: Scoreboard, metric: Metric, champion: str, challenger: str) -> "Pair":
        """Add the rows of a scoreboard that are not counted yet."""
        board = board.after(self.through or self.since)
        if not len(board.labels):
            return self
        theirs, mine = board.track(champion), board.track(challenger)
        has_theirs, has_mine = np.isfinite(theirs.values), np.isfinite(mine.values)
        both = has_theirs & has_mine
        dates, labels = board.target_dates[both], board.labels[both]
        p, q = theirs.values[both], mine.values[both]
        differences, bounds = np.full((2, len(both)), np.nan)
        leaks = (theirs.trained_through[both] >= dates) | (mine.trained_through[both] >= dates)
        losses = loss(metric, labels, p), loss(metric, labels, q)
        # Rows that one of them did not predict stay NaN: they keep their place in a block, and nothing is bet on them.
        differences[both], bounds[both] = losses[0] - losses[1], bound(metric, p, q)
        counted = replace(
            self,
            evidence=self.evidence.after(differences, bounds),
            through=board.last,
            seen=self.seen + len(board.labels),
            champion_predicted=self.champion_predicted + int(has_theirs.sum()),
            champion_missing=_missing(self.champion_missing, has_theirs),
            challenger_predicted=self.challenger_predicted + int(has_mine.sum()),
        )
        if not len(dates):
            return counted
        return replace(
            counted,
            rows=self.rows + len(dates),
            leaking=self.leaking + int(leaks.sum()),
            differing=self.differing + int((p != q).sum()),
            first=self.first or as_date(dates[0]),
            last=as_date(dates[-1]),
            champion_loss=_added(self.champion_loss, losses[0]),
            challenger_loss=_added(self.challenger_loss, losses[1]),
            # By it one can check that two decisions counted the same rows, without the rows themselves.
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


class Ranking(Struct, frozen=True):
    """The labelled rows from `first` to `through`: `seen` of them, of which all of `losses` predicted `rows`.

    `losses` has the sums of their losses, by contender. It is empty until some contender has predicted enough rows.
    """

    through: date | None = None
    first: date | None = None
    seen: int = 0
    rows: int = 0
    losses: Mapping[str, float] | None = None

    @classmethod
    def of(cls, board: Scoreboard, metric: Metric, min_rows: int) -> "Ranking":
        """Rank on a whole scoreboard.

        While fewer than `min_rows` rows can be compared, the contender with the fewest predictions is left out.
        """
        names = list(board.tracks)
        # A contender that was added lately has few rows: it must not keep the others from being ranked.
        while names:
            common = np.all([np.isfinite(board.tracks[name].values) for name in names], axis=0)
            if common.sum() >= max(min_rows, 1):
                break
            names.remove(min(names, key=lambda name: int(np.isfinite(board.tracks[name].values).sum())))
        return cls(losses=dict.fromkeys(names, 0.0)).after(board, metric)

    def after(self, board: Scoreboard, metric: Metric) -> "Ranking":
        """Add the rows of a scoreboard that are not counted yet."""
        board = board.after(self.through)
        if not len(board.labels):
            return self
        counted = replace(
            self,
            through=board.last,
            first=self.first or as_date(board.target_dates[0]),
            seen=self.seen + len(board.labels),
        )
        # No contender had predicted enough; the ranking is begun again from all rows, so only these counts are kept.
        if not self.losses:
            return counted
        tracks = {name: board.track(name).values for name in self.losses}
        common = np.all([np.isfinite(values) for values in tracks.values()], axis=0)
        losses = {
            name: _added(self.losses[name], loss(metric, board.labels, values)[common])
            for name, values in tracks.items()
        }
        return replace(counted, rows=self.rows + int(common.sum()), losses=losses)

    @property
    def means(self) -> dict[str, float]:
        """Mean loss by contender, the best first; empty until some contender has predicted enough rows."""
        means = {name: total / self.rows for name, total in (self.losses or {}).items() if self.rows}
        return dict(sorted(means.items(), key=lambda item: item[1]))


def _missing(before: int, predicted: npt.NDArray[np.bool_]) -> int:
    """Count the newest rows without a prediction."""
    return before + len(predicted) if not predicted.any() else int(predicted[::-1].argmax())


def _added(total: float, terms: Floats) -> float:
    # cumsum adds one term after the other. numpy's sum adds pairwise, in an order that depends on how many there are,
    # so rows brought in pieces would leave another last bit.
    return float(np.cumsum(np.concatenate([[total], terms]))[-1])


def _chained(before: str, dates: Days, labels: Floats) -> str:
    """Return 16 hex digits of SHA-256 over the hash so far and the next row, row by row."""
    for day, label in zip(dates.astype("datetime64[D]").astype(np.int64).tolist(), labels.tolist(), strict=True):
        before = hashlib.sha256(before.encode() + struct.pack("<qd", day, label)).hexdigest()[:16]
    return before
