"""A series that is stored already, as a source: a replay ingests it again, session by session."""

from datetime import date, datetime

import sqlalchemy as sa

from core.jobs.clock import Clock
from ingestion.sources.base import RawRow
from ingestion.store.observations import ActiveSeries, newest_values


class StoredSource:
    """What was known, at the clock's instant, of a task's active series; it contacts nothing but the database.

    Its name is that of the source that the observations came from.
    """

    def __init__(self, engine: sa.Engine, active: ActiveSeries, clock: Clock, seen: datetime | None) -> None:
        """Read `active` from the schema of the engine.

        Args:
            engine: the database in which the task's own observations are.
            active: the series, and the source that it came from.
            clock: its instant is the as-of.
            seen: the instant as of which everything was ingested before; None when that is not known.

        """
        self.name = active.source
        self.series = active.series
        self._engine = engine
        self._clock = clock
        self._seen = seen

    def fingerprint(self) -> str:
        """None: something else is known at each session."""
        return ""

    def fetch(self, since: date | None) -> list[RawRow]:
        """The rows from `since` on as they were known then, and earlier ones that became known after `seen`.

        Later restatements are left out.
        """
        now = self._clock.now()
        begin = since if since is not None and self._seen is not None else date.min
        known = newest_values(self._engine, self.series, begin, now)
        if self._seen is not None:
            known |= newest_values(self._engine, self.series, date.min, now, after=self._seen)
        return [RawRow(day, fields) for day, fields in known.items()]
