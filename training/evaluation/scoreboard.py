"""The scoreboard: rows whose label is known, with what each contender had predicted, as it was known at an instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.config.tasks import Task
from core.db.engine import connection
from core.db.pipeline_tables import contender_predictions, outcomes
from features.arrays import Days, Floats

# A forecast beyond it counts as none: squared losses and their sums would overflow.
LARGEST = 1e100


@dataclass(frozen=True)
class Track:
    """What one contender predicted on the rows of a scoreboard, and how far it had been trained when it did."""

    values: Floats  # (n,); NaN: no prediction
    trained_through: Days  # (n,); NaT: untrained


@dataclass(frozen=True)
class Scoreboard:
    """Rows whose label is known, in order of date, with the predictions of every contender."""

    target_dates: Days
    labels: Floats
    tracks: Mapping[str, Track]

    def after(self, day: date | None) -> "Scoreboard":
        """Select the rows after a day; all of them when it is None."""
        if day is None:
            return self
        return self._select(slice(self._end(day), None))

    def until(self, day: date) -> "Scoreboard":
        """Select the rows up to and including a day."""
        return self._select(slice(self._end(day)))

    @property
    def last(self) -> date | None:
        """The newest scored date; None without rows."""
        return as_date(self.target_dates[-1]) if len(self.target_dates) else None

    @classmethod
    def empty(cls) -> "Scoreboard":
        """Build a scoreboard without rows and contenders."""
        return cls(np.empty(0, "datetime64[D]"), np.empty(0), {})

    def with_late(self, name: str, track: Track) -> "Scoreboard":
        """Add a track that covers only the newest rows."""
        missing = len(self.labels) - len(track.values)
        values = np.concatenate([np.full(missing, np.nan), track.values])
        through = np.concatenate([np.full(missing, np.datetime64("NaT", "D")), track.trained_through])
        return Scoreboard(self.target_dates, self.labels, {**self.tracks, name: Track(values, through)})

    def track(self, name: str) -> Track:
        """Return a contender's track; one without predictions when the contender is not on the scoreboard."""
        nothing = Track(np.full(len(self.labels), np.nan), np.full(len(self.labels), np.datetime64("NaT", "D")))
        return self.tracks.get(name, nothing)

    def _end(self, day: date) -> int:
        return int(np.searchsorted(self.target_dates, np.datetime64(day), side="right"))

    def _select(self, rows: slice) -> "Scoreboard":
        tracks = {name: Track(one.values[rows], one.trained_through[rows]) for name, one in self.tracks.items()}
        return Scoreboard(self.target_dates[rows], self.labels[rows], tracks)


@dataclass(frozen=True)
class Scope:
    """Which predictions a scoreboard holds.

    `contenders` maps each name to the hash of its declaration. The first `scored_from` dates are not scored.
    """

    task: str
    series: str
    target_kind: str
    contenders: Mapping[str, str]
    scored_from: int

    @classmethod
    def of(cls, task: Task, series: str) -> "Scope":
        """Build the scope of a task's contenders as they are declared now."""
        hashes = {name: task.contender_hash(name) for name in task.contenders}
        return cls(task.name, series, task.target.kind, hashes, task.scored_from)


def read(engine: sa.Engine, scope: Scope, as_of: datetime, after: date | None = None) -> Scoreboard:
    """Read the scored rows as they were known at an instant.

    Every contender of the scope has a track, even without a prediction. Of a restated label the newest counts.

    Args:
        engine: our database.
        scope: the task, its series and its contenders.
        as_of: predictions made and labels known later are left out.
        after: a date that was scored; only the rows after it are read. None: all rows.

    """
    with connection(engine) as opened:
        predicted = opened.execute(_predictions(scope, as_of, after)).all()
        labels = {row.target_date: row.label for row in opened.execute(_labels(scope, as_of, after))}
    days = sorted({row.target_date for row in predicted})
    # `after` is a scored date, so the first `scored_from` dates are behind it already.
    scored = [day for day in days[scope.scored_from if after is None else 0 :] if day in labels]
    row_of = {day: index for index, day in enumerate(scored)}
    values = {name: np.full(len(scored), np.nan) for name in sorted(scope.contenders)}
    through = {name: np.full(len(scored), np.datetime64("NaT", "D")) for name in values}
    for row in predicted:
        index = row_of.get(row.target_date)
        if index is not None and row.value is not None and abs(row.value) <= LARGEST:
            values[row.contender][index] = row.value
            through[row.contender][index] = np.datetime64(row.trained_through, "D")
    return Scoreboard(
        np.array(scored, dtype="datetime64[D]"),
        np.array([labels[day] for day in scored], dtype=np.float64),
        {name: Track(values[name], through[name]) for name in values},
    )


def as_date(day: np.datetime64) -> date:
    """Convert a numpy day of any unit."""
    converted: date = day.astype("datetime64[D]").item()
    return converted


def _predictions(scope: Scope, as_of: datetime, after: date | None) -> sa.Select[tuple[date, str, float, date]]:
    columns = contender_predictions.c
    return sa.select(columns.target_date, columns.contender, columns.value, columns.trained_through).where(
        columns.task == scope.task,
        columns.series == scope.series,
        sa.tuple_(columns.contender, columns.contender_hash).in_(list(scope.contenders.items())),
        # A decision that is made again later must see the rows that it saw.
        columns.made_at <= as_of,
        *([] if after is None else [columns.target_date > after]),
    )


def _labels(scope: Scope, as_of: datetime, after: date | None) -> sa.Select[tuple[date, float]]:
    columns = outcomes.c
    return (
        sa.select(columns.target_date, columns.label)
        .ext(distinct_on(columns.target_date))
        .where(
            columns.series == scope.series,
            columns.target_kind == scope.target_kind,
            columns.known_at <= as_of,
            *([] if after is None else [columns.target_date > after]),
        )
        .order_by(columns.target_date, columns.known_at.desc())
    )
