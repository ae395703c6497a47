"""Reloads that an administrator asks for: a count per task that every worker compares with the one it saw last.

A count stands in the table of leases under `reload/TASK`, where a token that only grows is at home.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.auth import audit
from core.db.engine import reachable
from core.db.pipeline_tables import leases

_PREFIX = "reload/"


def ask(engine: sa.Engine, task: str, *, who: str, why: str) -> int:
    """Asks every worker to load a task again; returns the number of the reload."""
    statement = insert(leases).values(name=f"{_PREFIX}{task}", holder=who, token=1, expires_at=sa.func.now())
    statement = statement.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={"holder": who, "token": leases.c.token + 1, "expires_at": sa.func.now()},
    )
    with reachable(), engine.begin() as connection:
        number: int = connection.execute(statement.returning(leases.c.token)).scalar_one()
        detail = {"task": task, "reload": number, "why": why}
        audit.record(connection, who=who, action="reload", outcome="asked", detail=detail)
    return number


class Reloads:
    """What one thread of a worker has seen of the reloads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._seen: dict[str, int] | None = None

    def due(self) -> frozenset[str]:
        """The tasks of which a reload was asked since the last call; none at the first one.

        Raises DatabaseUnreachableError; what was asked meanwhile is due later.
        """
        name = leases.c.name
        with reachable(), self._engine.connect() as connection:
            rows = connection.execute(sa.select(name, leases.c.token).where(name.startswith(_PREFIX)))
            counts = {row.name.removeprefix(_PREFIX): int(row.token) for row in rows}
        seen, self._seen = counts if self._seen is None else self._seen, counts
        return frozenset(task for task, count in counts.items() if count != seen.get(task, 0))
