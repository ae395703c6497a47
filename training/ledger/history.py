"""The ledger as a person reads it: one line a move, with what came of it and the contenders by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.config.settings import Settings
from core.db.engine import connection as connected
from core.db.pipeline_tables import decisions, ledger, versions
from training.ledger import entries, reconciler
from training.ledger.entries import FORCED
from training.registry import versions as recorded
from training.registry.base import POLL
from training.registry.factory import open_registry

Ending = Literal["made", "external", "released", "abandoned", "unfinished", "unrecorded"]
"""What came of a move. `external`: others made it in MLflow; `unrecorded`: so too, and no job has recorded it yet.

`released`: nothing moved, a pin was released. `abandoned`: others moved the alias first, or its version was deleted.
"""


@dataclass(frozen=True)
class Holder:
    """A version that holds or held an alias. `contender` is None for one that this installation did not make."""

    version: int
    contender: str | None


@dataclass(frozen=True)
class LedgerLine:
    """One move. `at` is None where the ledger does not have it yet; `pins`: the gate leaves the alias alone after.

    `decision_id`: of the decision that it follows from, None where there is none.
    """

    at: datetime | None
    alias: str
    before: Holder | None
    after: Holder | None
    who: str
    why: str
    ending: Ending
    decision: str
    pins: bool
    decision_id: int | None = None


@dataclass(frozen=True)
class LedgerHistory:
    """The newest moves of a task, oldest first, and how many came before them."""

    lines: tuple[LedgerLine, ...]
    earlier: int


def read(engine: sa.Engine, task: str, limit: int) -> LedgerHistory:
    """The newest `limit` moves of a task. Raises DatabaseUnreachableError."""
    # A move has a row for its intent and one for its end: the last one says what came of it.
    last = sa.select(ledger).ext(distinct_on(ledger.c.move)).where(ledger.c.task == task)
    ended = last.order_by(ledger.c.move, ledger.c.id.desc()).subquery()
    before, after = versions.alias(), versions.alias()
    statement = (
        sa.select(
            ended,
            before.c.contender.label("before"),
            after.c.contender.label("after"),
            decisions.c.outcome,
            decisions.c.reason,
        )
        .select_from(ended)
        .outerjoin(before, sa.and_(before.c.task == task, before.c.version == ended.c.from_version))
        .outerjoin(after, sa.and_(after.c.task == task, after.c.version == ended.c.to_version))
        .outerjoin(decisions, decisions.c.id == ended.c.decision_id)
        .order_by(ended.c.id.desc())
        .limit(limit)
    )
    every = sa.select(sa.func.count(ledger.c.move.distinct())).where(ledger.c.task == task)
    with connected(engine) as connection:
        lines = tuple(_line(row) for row in reversed(connection.execute(statement).all()))
        return LedgerHistory(lines, connection.execute(every).scalar_one() - len(lines))


def unrecorded(engine: sa.Engine, settings: Settings, task: str) -> tuple[LedgerLine, ...]:
    """Moves that others made in MLflow and that no job has recorded yet, one an alias.

    A move of ours that a job has still to finish is none of them. Raises RegistryUnreachableError and
    DatabaseUnreachableError.
    """
    actual = open_registry(settings, POLL).aliases(task)
    under_way = {move.alias for move in entries.unfinished(engine, task)}
    made = [move for move in reconciler.external_moves(settings, engine, task, actual) if move.alias not in under_way]
    numbers = {number for move in made for number in (move.from_version, move.to_version) if number is not None}
    known = recorded.numbered(engine, task, numbers)

    def holder(number: int | None) -> Holder | None:
        return None if number is None else Holder(number, known[number].contender if number in known else None)

    return tuple(
        LedgerLine(
            None, move.alias, holder(move.from_version), holder(move.to_version), move.who, move.why, "unrecorded", "",
            pins=True,
        )
        for move in made
    )  # fmt: skip


def holders(engine: sa.Engine, task: str, newer: Sequence[LedgerLine] = ()) -> dict[str, tuple[Holder | None, bool]]:
    """The holder of each alias, and whether it is pinned: by the ledger, then by `newer` lines that it lacks."""
    known = entries.alias_states(engine, task)
    made = recorded.numbered(engine, task, {one.version for one in known.values() if one.version is not None})
    held: dict[str, tuple[Holder | None, bool]] = {}
    for alias, one in known.items():
        contender = made[one.version].contender if one.version in made else None
        held[alias] = (None if one.version is None else Holder(one.version, contender), one.pinned)
    return held | {line.alias: (line.after, line.pins) for line in newer}


def _line(row: sa.Row[tuple[object, ...]]) -> LedgerLine:
    ending = _ending(row)
    is_forced = row.outcome == FORCED
    return LedgerLine(
        at=row.at,
        alias=row.alias,
        before=None if row.from_version is None else Holder(row.from_version, row.before),
        after=None if row.to_version is None else Holder(row.to_version, row.after),
        who=row.who,
        why=row.why,
        ending=ending,
        decision="" if row.outcome is None else f"{row.outcome} {row.reason}",
        pins=ending == "external" or (ending == "made" and is_forced),
        decision_id=row.decision_id,
    )


def _ending(row: sa.Row[tuple[object, ...]]) -> Ending:
    if row.phase == "confirmed":
        is_release = row.decision_id is None and row.from_version == row.to_version
        return "released" if is_release else "made"
    endings: dict[str, Ending] = {"external": "external", "abandoned": "abandoned", "intent": "unfinished"}
    return endings[row.phase]
