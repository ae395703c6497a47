"""Which decisions have been logged, and what their files were: a mark in the table of settled runs, one a decision."""

from importlib.metadata import version
from typing import Any

import sqlalchemy as sa

from core.db.engine import reachable
from core.db.pipeline_tables import decisions
from core.db.pipeline_tables import runs as settled_runs
from core.fingerprint import code_hash
from core.jobs import run_keys
from core.jobs.run_keys import RunKey
from training.ledger.decisions import Decision

_STEP = "decision"
_PAGE_CODE = ("training.reports",)


def key(decision: Decision, number: int) -> RunKey:
    """What names the logging of a decision."""
    return RunKey(decision.task, _STEP, decision.session_date.isoformat(), str(number))


def find(engine: sa.Engine, decision: Decision, number: int) -> dict[str, Any] | None:
    """The mark of a decision that was logged; None when it was not."""
    return run_keys.settled(engine, key(decision, number))


def missing(engine: sa.Engine, task: str, *, holds: bool) -> list[int]:
    """The decisions of a task that the gate has made and nobody has logged, oldest first; `holds`: HOLD among them."""
    columns = decisions.c
    outcomes = ("BOOTSTRAP", "PROMOTE", "REJECT", *(("HOLD",) if holds else ()))
    day = sa.func.to_char(columns.session_date, "YYYY-MM-DD")
    named = sa.func.concat(columns.task, f"/{_STEP}/", day, "/", columns.id)
    is_marked = sa.exists().where(settled_runs.c.run_key == named)
    missing = sa.select(columns.id).where(columns.task == task, columns.outcome.in_(outcomes), ~is_marked)
    with reachable(), engine.connect() as connection:
        return list(connection.execute(missing.order_by(columns.id)).scalars())


def drawn_by() -> str:
    """What made the page and drew its pictures: another release may say the same in other bytes."""
    return f"matplotlib {version('matplotlib')}, code {code_hash(_PAGE_CODE)}"
