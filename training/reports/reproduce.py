"""A decision made again, from what the database holds: the same to the byte, or told in what it differs.

What was carried comes from the decision before, what was given is kept with the decision, and the rows are read as they
were known when it was decided. What a decision file and a report should be is kept with the mark of their logging.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from core.config.tasks import digest
from core.errors import ConfigurationError, NotFoundError
from training.evaluation import scoreboard
from training.ledger import decisions
from training.ledger.decisions import Decision
from training.promotion import record
from training.promotion.gate import decide
from training.promotion.inputs import GateInput
from training.reports import decision_curves, decision_json, decision_page, publication_log
from training.reports.decision_curves import Curves


@dataclass(frozen=True)
class _Made:
    """The decision as it comes out now, and the curves of its pictures."""

    decision: Decision
    drawn: Curves

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Its two files. To draw the report takes longer than all the rest, so it is drawn when it is asked for."""
        page = decision_page.page(self.decision, self.drawn)
        return {decision_json.NAME: decision_json.content(self.decision), decision_page.NAME: page}


@dataclass(frozen=True)
class Reproduction:
    """The decision as it is kept, as it comes out when it is made again, and what differs, if anything.

    `is_logged`: whether there is a logged report to hold the new one against.
    """

    decision: Decision
    made: _Made
    differences: tuple[str, ...]
    is_logged: bool

    @property
    def files(self) -> dict[str, bytes]:
        """The two files of the decision that was made again."""
        return self.made.files


def again(engine: sa.Engine, number: int) -> Reproduction:
    """Makes a decision again.

    Raises NotFoundError for a number that no decision has, ConfigurationError for one that a person or a declaration
    has made: there is nothing to compute.
    """
    kept = find(engine, number)
    if not is_of_gate(kept):
        raise ConfigurationError(
            f"Decision {number} of {kept.task!r} was not made by the gate: {kept.outcome} ({kept.reason}).",
            f"There is nothing to compute again; `contender decision show {number}` shows it.",
        )
    given = GateInput.of(kept)
    last = decisions.newest_judged(engine, kept.task, kept.series, before=number)
    board = scoreboard.read(engine, given.scope, given.as_of)
    rows = given.rows(board)
    decision = record.decision(given, decide(given, rows, given.state_after(last)))
    made = _Made(decision, decision_curves.draw(rows, decision))
    mark = publication_log.find(engine, kept, number)
    differences = [
        *_changed_since(engine, number, kept),
        *(() if mark is None else _against(mark, made)),
        *decision_json.differences(kept, decision),
    ]
    return Reproduction(kept, made, tuple(differences), is_logged=mark is not None)


def find(engine: sa.Engine, number: int) -> Decision:
    """The decision of that number. Raises NotFoundError when there is none."""
    kept = decisions.find(engine, number)
    if kept is None:
        raise NotFoundError(
            f"There is no decision {number}.",
            "`contender history TASK` shows the ids; those of a replay count for themselves: add --replay NAME.",
        )
    return kept


def is_of_gate(decision: Decision) -> bool:
    """Whether the gate made it, and all that it was given is kept."""
    return "given" in decision.evidence


def _changed_since(engine: sa.Engine, number: int, kept: Decision) -> list[str]:
    """A decision whose evidence is not what its own hash says."""
    named = decisions.hash_of(engine, number)
    now = digest(kept.evidence)
    return [] if named == now else [f"evidence_hash, as it was written down: {named} → {now}"]


def _against(mark: dict[str, Any], made: _Made) -> list[str]:
    """What differs from the files that were logged."""
    rows = made.drawn.digests
    told = [
        f"the rows of {name} against {made.drawn.against}: {mark['rows'].get(name)} → {rows.get(name)}"
        for name in sorted({*mark["rows"], *rows})
        if mark["rows"].get(name) != rows.get(name)
    ]
    for name, content in made.files.items():
        logged, now = mark["files"][name], sha256(content)
        if logged != now:
            told.append(f"{name}, as it was logged: {logged[:16]} → {now[:16]}")
    if told and mark["drawn_by"] != publication_log.drawn_by():
        told.append(f"the files were made by {mark['drawn_by']}, now by {publication_log.drawn_by()}")
    return told


def sha256(content: bytes) -> str:
    """Names the content of a file."""
    return hashlib.sha256(content).hexdigest()
