"""The audit log: who did what, with what outcome. Rows are only added; a database trigger refuses anything else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.db.access_tables import audit
from core.db.engine import fetch_all


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
    """Add a row in the transaction of the change that it records: both are committed, or neither.

    Args:
        connection: the transaction.
        who: the name of a token, or a login name.
        action: what was done.
        outcome: how it ended.
        detail: a JSON object; characters that Postgres cannot store are replaced.
    """
    row = {"who": who, "action": action, "outcome": outcome, "detail": detail}
    connection.execute(sa.insert(audit).values(**_storable(row)))


def newest(engine: sa.Engine, *, limit: int = 100, before: int | None = None) -> list[AuditEntry]:
    """The newest rows first; `before`: the last id of the page before."""
    statement = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(audit.c.id < before)
    return [AuditEntry(**row._mapping) for row in fetch_all(engine, statement)]


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
