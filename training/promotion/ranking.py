"""How the contenders stand: their mean losses on the rows that all of them predicted, carried from night to night."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from training.evaluation.board import Scoreboard
from training.evaluation.e_values import Metric, loss


@dataclass(frozen=True)
class Ranking:
    """The rows up to `through`: `seen` had a label (from `first` on); in `rows` of them all of `losses` predicted.

    `losses` has the sums of their losses, by contender. It is empty as long as nobody has predicted enough.
    """

    through: date | None = None
    first: date | None = None
    seen: int = 0
    rows: int = 0
    losses: Mapping[str, float] | None = None

    @classmethod
    def of(cls, board: Scoreboard, metric: Metric, min_rows: int) -> "Ranking":
        """From the beginning. Who predicted fewest is left out while fewer than `min_rows` rows can be compared."""
        names = list(board.tracks)
        while names:
            common = np.all([np.isfinite(board.tracks[name].values) for name in names], axis=0)
            if common.sum() >= max(min_rows, 1):
                break
            names.remove(min(names, key=lambda name: int(np.isfinite(board.tracks[name].values).sum())))
        return cls(losses=dict.fromkeys(names, 0.0)).after(board, metric)

    def after(self, board: Scoreboard, metric: Metric) -> "Ranking":
        """The same with the rows of a board that were not counted yet."""
        board = board.after(self.through)
        if not len(board.labels):
            return self
        counted = replace(
            self,
            through=board.target_dates[-1].astype("datetime64[D]").item(),
            first=self.first or board.target_dates[0].astype("datetime64[D]").item(),
            seen=self.seen + len(board.labels),
        )
        if not self.losses:
            return counted
        tracks = {name: board.track(name).values for name in self.losses}
        common = np.all([np.isfinite(values) for values in tracks.values()], axis=0)
        losses = {
            name: float(np.cumsum([self.losses[name], *loss(metric, board.labels, values)[common]])[-1])
            for name, values in tracks.items()
        }
        return replace(counted, rows=self.rows + int(common.sum()), losses=losses)

    @property
    def means(self) -> dict[str, float]:
        """Mean loss by contender, best first; empty when nobody has predicted enough."""
        means = {name: total / self.rows for name, total in (self.losses or {}).items() if self.rows}
        return dict(sorted(means.items(), key=lambda item: item[1]))

    def plain(self) -> dict[str, Any]:
        """The ranking as JSON knows it; `of_plain` is the way back."""
        days = {name: day and day.isoformat() for name, day in (("through", self.through), ("first", self.first))}
        return {**asdict(self), **days}

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "Ranking":
        """The ranking that was written so."""
        days = {name: plain[name] and date.fromisoformat(plain[name]) for name in ("through", "first")}
        losses = plain["losses"] and {name: float(total) for name, total in plain["losses"].items()}
        return cls(**{**plain, **days, "losses": losses})
