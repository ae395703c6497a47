"""The scoreboard as arrays: rows whose label is known, and what each contender had predicted of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from features.arrays import Days, Floats


@dataclass(frozen=True)
class Track:
    """What one contender predicted on the rows of a board, and what it had learned when it did."""

    values: Floats  # (n,); NaN: no prediction
    trained_through: Days  # (n,); NaT: untrained


@dataclass(frozen=True)
class Scoreboard:
    """Rows whose label is known, in order of date, with every contender's predictions."""

    target_dates: Days
    labels: Floats
    tracks: Mapping[str, Track]

    def after(self, day: date | None) -> "Scoreboard":
        """The rows after a day; all of them when it is None."""
        if day is None:
            return self
        return self._part(slice(self._end(day), None))

    def until(self, day: date) -> "Scoreboard":
        """The rows up to a day, and on it."""
        return self._part(slice(self._end(day)))

    @classmethod
    def empty(cls) -> "Scoreboard":
        """No rows of nobody."""
        return cls(np.empty(0, "datetime64[D]"), np.empty(0), {})

    def with_late(self, name: str, track: Track) -> "Scoreboard":
        """The same with one more track, which has only the last rows."""
        missing = len(self.labels) - len(track.values)
        values = np.concatenate([np.full(missing, np.nan), track.values])
        through = np.concatenate([np.full(missing, np.datetime64("NaT", "D")), track.trained_through])
        return Scoreboard(self.target_dates, self.labels, {**self.tracks, name: Track(values, through)})

    def _end(self, day: date) -> int:
        return int(np.searchsorted(self.target_dates, np.datetime64(day), side="right"))

    def _part(self, rows: slice) -> "Scoreboard":
        tracks = {name: Track(one.values[rows], one.trained_through[rows]) for name, one in self.tracks.items()}
        return Scoreboard(self.target_dates[rows], self.labels[rows], tracks)

    def track(self, name: str) -> Track:
        """A contender's track; one without predictions when it is not on the board."""
        nothing = Track(np.full(len(self.labels), np.nan), np.full(len(self.labels), np.datetime64("NaT", "D")))
        return self.tracks.get(name, nothing)
