"""Decisions in Postgres: what was decided, why, and on which evidence. Rows are only ever added."""

from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa

from core.config.tasks import digest
from core.db.engine import fetch_one, fetch_scalar
from core.db.pipeline_tables import decisions
from training.ledger.entries import FORCED

BOOTSTRAP: Final = "BOOTSTRAP"
PROMOTE: Final = "PROMOTE"
"""The outcomes that move the champion's alias, other than `training.ledger.entries.FORCED`."""


@dataclass(frozen=True)
class Decision:
    """One decision. `champion` and `challenger`: the contenders that hold the aliases after it."""

    task: str
    series: str
    session_date: date
    outcome: str
    reason: str
    champion: str | None
    challenger: str | None
    evidence: dict[str, Any]

    @property
    def evidence_hash(self) -> str:
        """Names the evidence: equal evidence, equal hash."""
        return digest(self.evidence)


def record(connection: sa.Connection, decision: Decision, decided_at: datetime) -> int:
    """Adds a decision in the caller's transaction and returns its id."""
    row: int = connection.execute(
        sa.insert(decisions)
        .values(
            task=decision.task,
            series=decision.series,
            session_date=decision.session_date,
            outcome=decision.outcome,
            reason=decision.reason,
            champion=decision.champion,
            challenger=decision.challenger,
            evidence=decision.evidence,
            evidence_hash=decision.evidence_hash,
            decided_at=decided_at,
        )
        .returning(decisions.c.id)
    ).scalar_one()
    return row


def newest(engine: sa.Engine, task: str) -> Decision | None:
    """The last decision on a task, or None before the first."""
    return _first(engine, _select().where(decisions.c.task == task))


def newest_number(engine: sa.Engine, task: str) -> int | None:
    """The id of the last decision on a task, or None before the first."""
    statement = sa.select(sa.func.max(decisions.c.id)).where(decisions.c.task == task)
    number: int | None = fetch_scalar(engine, statement)
    return number


def newest_look(engine: sa.Engine, task: str) -> datetime | None:
    """When the gate decided last, by the clock that the job was given."""
    of_gate = sa.select(decisions.c.decided_at).where(decisions.c.task == task, decisions.c.outcome != FORCED)
    at: datetime | None = fetch_scalar(engine, of_gate.order_by(decisions.c.id.desc()).limit(1))
    return at


def newest_judged(engine: sa.Engine, task: str, series: str, before: int | None = None) -> Decision | None:
    """The last decision of the gate on a series that holds a gate state to continue from.

    Args:
        engine: of our database.
        task: its name.
        series: on which the decision was made.
        before: only decisions of a smaller id.
    """
    statement = _select().where(
        # Those of a person, and of pushed tasks, have no gate state.
        decisions.c.task == task,
        decisions.c.series == series,
        decisions.c.evidence.has_key("carried"),
    )
    return _first(engine, statement if before is None else statement.where(decisions.c.id < before))


def find(engine: sa.Engine, number: int) -> Decision | None:
    """The decision of that id."""
    return _first(engine, _select().where(decisions.c.id == number))


def hash_of(engine: sa.Engine, number: int) -> str | None:
    """The hash of a decision's evidence as it was written down with it."""
    statement = sa.select(decisions.c.evidence_hash).where(decisions.c.id == number)
    stored: str | None = fetch_scalar(engine, statement)
    return stored


def _select() -> sa.Select[Any]:
    return sa.select(*(decisions.c[field.name] for field in fields(Decision)))


def _first(engine: sa.Engine, statement: sa.Select[Any]) -> Decision | None:
    row = fetch_one(engine, statement.order_by(decisions.c.id.desc()).limit(1))
    return None if row is None else Decision(**row._mapping)
