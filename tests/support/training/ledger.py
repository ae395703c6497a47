"""The ledger of a task as tests look at it."""

import sqlalchemy as sa

from training.ledger import entries
from training.ledger.entries import LedgerEntry


def ledger_rows(engine: sa.Engine, task: str) -> list[LedgerEntry]:
    """Every row of a task, oldest first."""
    return entries.newest(engine, task, 10_000)[::-1]
