"""The audit log: who did what, with what outcome. Rows are added; a trigger of the database refuses all else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.db.access_tables import audit
from core.db.engine import reachable


@dataclass(frozen=True)
class AuditEntry:
    """One row of the audit log."""

    id: int
    at: datetime
    who: str
    action: str
    outcome: str
    detail: Mapping[str, Any]


def record(connection: sa.Connection, *, who: str, action: str, outcome: str, detail: Mapping[str, Any]) -> None:
    """Adds a row in the transaction of what it tells of: both are written, or neither.

    `who` is the name of a token, or what stands in its place, such as a login name. `detail` must be JSON; characters
    that Postgres cannot keep are replaced.
    """
    row = {"who": who, "action": action, "outcome": outcome, "detail": detail}
    connection.execute(sa.insert(audit).values(**_storable(row)))


def newest(engine: sa.Engine, *, limit: int = 100, before: int | None = None) -> list[AuditEntry]:
    """The newest rows first; `before` an id, to go on where an earlier page ended."""
    asked = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        asked = asked.where(audit.c.id < before)
    with reachable(), engine.connect() as connection:
        return [AuditEntry(**row._mapping) for row in connection.execute(asked)]


def _storable(value: Any) -> Any:
    r"""The value without NUL and lone surrogates, for which Postgres would refuse the row.

    >>> _storable({"path": ["/a\x00b", 1, None]})
    {'path': ['/a\ufffdb', 1, None]}
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    if isinstance(value, Mapping):
        return {_storable(key): _storable(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(held) for held in value]
    return value
