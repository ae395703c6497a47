"""The record of which decisions have been logged to MLflow, and what their files were: one settled run a decision."""

from importlib.metadata import version
from typing import Any

import sqlalchemy as sa

from core.db.engine import connection
from core.db.pipeline_tables import decisions
from core.db.pipeline_tables import runs as settled_runs
from core.fingerprint import code_hash
from core.jobs import run_keys
from core.jobs.run_keys import RunKey
from training.ledger.decisions import Decision

_STEP = "decision"
_PAGE_CODE = ("training.reports",)


def key(decision: Decision, number: int) -> RunKey:
    """Name the logging of a decision."""
    return RunKey(decision.task, _STEP, decision.session_date.isoformat(), str(number))


def find(engine: sa.Engine, decision: Decision, number: int) -> dict[str, Any] | None:
    """Return the record of a decision that was logged: `run`, `files`, `rows` and `drawn_by`; None when it was not."""
    return run_keys.settled(engine, key(decision, number))


def missing(engine: sa.Engine, task: str, *, holds: bool) -> list[int]:
    """List the gate's decisions on a task that are not logged yet, oldest first; `holds`: HOLD among them."""
    columns = decisions.c
    outcomes = ("BOOTSTRAP", "PROMOTE", "REJECT", *(("HOLD",) if holds else ()))
    # The run key is built in SQL as `RunKey` builds it, so that one query finds what is missing.
    day = sa.func.to_char(columns.session_date, "YYYY-MM-DD")
    named = sa.func.concat(columns.task, f"/{_STEP}/", day, "/", columns.id)
    is_logged = sa.exists().where(settled_runs.c.run_key == named)
    statement = sa.select(columns.id).where(columns.task == task, columns.outcome.in_(outcomes), ~is_logged)
    with connection(engine) as opened:
        return list(opened.execute(statement.order_by(columns.id)).scalars())


def drawn_by() -> str:
    """Name what draws the page now: another release may say the same in other words, and so in other bytes."""
    return f"matplotlib {version('matplotlib')}, code {code_hash(_PAGE_CODE)}"
