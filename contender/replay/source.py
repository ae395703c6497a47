"""A series that is stored already, as a source: what a replay ingests anew, night after night."""

from datetime import date, datetime

import sqlalchemy as sa

from core.jobs.clock import Clock
from ingestion.sources.base import RawRow
from ingestion.store.observations import ActiveSeries, newest_values


class StoredSource:
    """What was known, when the clock stood there, of the series that a task stands on.

    It bears the name of the source that the observations came from, for it is theirs. Nothing outside is asked.
    `seen`: the instant as-of which all was ingested before; None: nothing is known of that.
    """

    def __init__(self, engine: sa.Engine, standing: ActiveSeries, clock: Clock, seen: datetime | None) -> None:
        self.name = standing.source
        self.series = standing.series
        self._engine = engine
        self._clock = clock
        self._seen = seen

    def fingerprint(self) -> str:
        """None: each night something else is known."""
        return ""

    def fetch(self, since: date | None) -> list[RawRow]:
        """The rows from `since` on as they were known then, and whatever earlier ones have become known since `seen`.

        Restatements that came later are left out.
        """
        now = self._clock.now()
        begin = since if since is not None and self._seen is not None else date.min
        known = newest_values(self._engine, self.series, begin, now)
        if self._seen is not None:
            known |= newest_values(self._engine, self.series, date.min, now, after=self._seen)
        return [RawRow(day, fields) for day, fields in known.items()]
