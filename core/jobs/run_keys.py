"""Run keys: work that a job has done for a session is not done again, however often the job is started."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import fetch_scalar
from core.db.pipeline_tables import runs


@dataclass(frozen=True)
class RunKey:
    """What makes two runs of a job the same work; `inputs_hash` names everything that the result depends on."""

    task: str
    step: str
    session_date: str
    inputs_hash: str

    def __str__(self) -> str:
        return f"{self.task}/{self.step}/{self.session_date}/{self.inputs_hash}"


def settled(engine: sa.Engine, key: RunKey) -> dict[str, Any] | None:
    """The report of the run that did this work; None while it is still to do."""
    report: dict[str, Any] | None = fetch_scalar(engine, sa.select(runs.c.report).where(runs.c.run_key == str(key)))
    return report


def settle(connection: sa.Connection, key: RunKey, report: dict[str, Any]) -> None:
    """Record in the caller's transaction that the work is done. A repeated run replaces the report."""
    row = insert(runs).values(run_key=str(key), task=key.task, step=key.step, report=report)
    connection.execute(row.on_conflict_do_update(index_elements=[runs.c.run_key], set_={"report": row.excluded.report}))
