"""Reloads that administrators request: a count per task, which every worker compares with the one it saw last.

The counts are rows of the table of leases under `reload/TASK`, whose token only grows.
"""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.auth import audit
from core.db.engine import fetch_all, transaction
from core.db.pipeline_tables import leases

_PREFIX = "reload/"


def request(engine: sa.Engine, task: str, *, who: str, why: str) -> int:
    """Requests that every worker loads a task again; returns the number of the reload."""
    statement = insert(leases).values(name=f"{_PREFIX}{task}", holder=who, token=1, expires_at=sa.func.now())
    statement = statement.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={"holder": who, "token": leases.c.token + 1, "expires_at": sa.func.now()},
    )
    with transaction(engine) as connection:
        number: int = connection.execute(statement.returning(leases.c.token)).scalar_one()
        # In the same transaction: there is no reload without its record.
        detail = {"task": task, "reload": number, "why": why}
        audit.record(connection, who=who, action="reload", outcome="asked", detail=detail)
    return number


def counts(engine: sa.Engine) -> Mapping[str, int]:
    """How many reloads of each task were requested so far. Raises DatabaseUnreachableError."""
    name = leases.c.name
    rows = fetch_all(engine, sa.select(name, leases.c.token).where(name.startswith(_PREFIX)))
    return {row.name.removeprefix(_PREFIX): int(row.token) for row in rows}
