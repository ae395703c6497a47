"""Reads the scoreboard for the gate: what was known at an instant, from a date on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.db.engine import reachable
from core.db.pipeline_tables import contender_predictions, outcomes
from training.evaluation.board import Scoreboard, Track

LARGEST = 1e100
"""A forecast beyond it counts as none: its squared error, and the sum of them, would be no number any more."""


@dataclass(frozen=True)
class Scope:
    """Whose predictions of what: the contenders by name with the hash of their declaration.

    The first `scored_from` dates are not scored.
    """

    task: str
    series: str
    target_kind: str
    contenders: Mapping[str, str]
    scored_from: int


def read(engine: sa.Engine, scope: Scope, as_of: datetime, after: date | None = None) -> Scoreboard:
    """The scored rows after a date (all, when it is None) as they were known at an instant.

    Every contender of the scope has a track, be it without a prediction. Of a restated label the newest counts. `after`
    is a date that was scored.
    """
    with reachable(), engine.connect() as connection:
        said = connection.execute(_predictions(scope, as_of, after)).all()
        labels = {row.target_date: row.label for row in connection.execute(_labels(scope, as_of, after))}
    days = sorted({row.target_date for row in said})
    scored = [day for day in days[scope.scored_from if after is None else 0 :] if day in labels]
    place = {day: index for index, day in enumerate(scored)}
    values = {name: np.full(len(scored), np.nan) for name in sorted(scope.contenders)}
    through = {name: np.full(len(scored), np.datetime64("NaT", "D")) for name in values}
    for row in said:
        index = place.get(row.target_date)
        if index is not None and row.value is not None and abs(row.value) <= LARGEST:
            values[row.contender][index] = row.value
            through[row.contender][index] = np.datetime64(row.trained_through, "D")
    return Scoreboard(
        np.array(scored, dtype="datetime64[D]"),
        np.array([labels[day] for day in scored], dtype=np.float64),
        {name: Track(values[name], through[name]) for name in values},
    )


def _predictions(scope: Scope, as_of: datetime, after: date | None) -> sa.Select[tuple[date, str, float, date]]:
    columns = contender_predictions.c
    return sa.select(columns.target_date, columns.contender, columns.value, columns.trained_through).where(
        columns.task == scope.task,
        columns.series == scope.series,
        sa.tuple_(columns.contender, columns.contender_hash).in_(list(scope.contenders.items())),
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
