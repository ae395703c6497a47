"""Run keys: a job that settled its work for a session is not done again, however often it is started."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import reachable
from core.db.pipeline_tables import runs


@dataclass(frozen=True)
class RunKey:
    """What makes two starts of a job the same work; `stands_on` holds the hashes of what it depends on."""

    task: str
    step: str
    session_date: str
    stands_on: str

    def __str__(self) -> str:
        return f"{self.task}/{self.step}/{self.session_date}/{self.stands_on}"


def settled(engine: sa.Engine, key: RunKey) -> dict[str, Any] | None:
    """The report of the run that settled this work, or None when it is still to do."""
    with reachable(), engine.connect() as connection:
        return connection.execute(sa.select(runs.c.report).where(runs.c.run_key == str(key))).scalar_one_or_none()


def settle(connection: sa.Connection, key: RunKey, report: dict[str, Any]) -> None:
    """Records, in the caller's transaction, that the work is done; of work done again, the last report stands."""
    row = insert(runs).values(run_key=str(key), task=key.task, step=key.step, report=report)
    connection.execute(row.on_conflict_do_update(index_elements=[runs.c.run_key], set_={"report": row.excluded.report}))
