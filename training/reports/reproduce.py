"""Makes a decision again from what the database holds, and tells in what it differs from the one that was stored.

The state comes from the decision before, the input is stored with the decision, and the rows are read as they were
known when it was decided. The hashes of the files are kept with the record of their logging. `decision.json` must be
the same to the byte, always. `report.html` must be so where the release that drew it is this one; another release may
say the same in other words, so then only its numbers are compared: those of its tables are in `decision.json`, those
of its curves are named by a digest of the rows.
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
class Files:
    """A decision that was made again, with the curves of its plots."""

    decision: Decision
    drawn: Curves

    @cached_property
    def content(self) -> dict[str, bytes]:
        """Its two files by name."""
        # Drawing takes longer than everything else here, so the page is drawn only when it is needed.
        page = decision_page.page(self.decision, self.drawn)
        return {decision_json.NAME: decision_json.content(self.decision), decision_page.NAME: page}


@dataclass(frozen=True)
class Reproduction:
    """The stored decision, the files as they come out now, and what differs, if anything.

    `is_logged`: whether there is a logged report to compare with; `drawn_by_earlier`: what drew that report, where it
    was another release, so that its bytes are not compared.
    """

    decision: Decision
    made: Files
    differences: tuple[str, ...]
    is_logged: bool
    drawn_by_earlier: str | None = None

    @property
    def files(self) -> dict[str, bytes]:
        """The two files of the decision that was made again."""
        return self.made.content


def again(engine: sa.Engine, number: int) -> Reproduction:
    """Make a decision again.

    Raises:
        NotFoundError: no decision has that number.
        ConfigurationError: a person or a declaration made the decision: there is nothing to compute.

    """
    kept = find(engine, number)
    if not is_of_gate(kept):
        raise ConfigurationError(
            f"Decision {number} of {kept.task!r} was not made by the gate: {kept.outcome} ({kept.reason}).",
            f"There is nothing to compute again; `contender decision show {number}` shows it.",
        )
    given = GateInput.of(kept)
    last = decisions.newest_judged(engine, kept.task, kept.series, before=number)
    rows = given.rows(scoreboard.read(engine, given.scope, given.as_of))
    decision = record.decision(given, decide(given, rows, given.state_after(last)))
    made = Files(decision, decision_curves.draw(rows, decision))
    logged = publication_log.find(engine, kept, number)
    differences = [
        *_changed_since(engine, number, kept),
        *(() if logged is None else compare(logged, made)),
        *decision_json.differences(kept, decision),
    ]
    is_of_now = logged is None or logged["drawn_by"] == publication_log.drawn_by()
    earlier = None if logged is None or is_of_now else logged["drawn_by"]
    return Reproduction(kept, made, tuple(differences), is_logged=logged is not None, drawn_by_earlier=earlier)


def find(engine: sa.Engine, number: int) -> Decision:
    """Return the decision of that number. Raises NotFoundError when there is none."""
    kept = decisions.find(engine, number)
    if kept is None:
        raise NotFoundError(
            f"There is no decision {number}.",
            "`contender history TASK` shows the ids; a replay counts its own: add --replay NAME.",
        )
    return kept


def is_of_gate(decision: Decision) -> bool:
    """Tell whether the gate made a decision, so that its input is stored."""
    return "given" in decision.evidence


def compare(logged: dict[str, Any], made: Files) -> list[str]:
    """List what differs from the files that were logged.

    Args:
        logged: the hashes of the files and of the rows, and what drew the page, as `publication_log.find` gives them.
        made: the decision that was made again.

    """
    rows = made.drawn.digests
    differences = [
        f"the rows of {name} against {made.drawn.against}: {logged['rows'].get(name)} → {rows.get(name)}"
        for name in sorted({*logged["rows"], *rows})
        if logged["rows"].get(name) != rows.get(name)
    ]
    is_same_release = logged["drawn_by"] == publication_log.drawn_by()
    for name, content in made.content.items():
        before, now = logged["files"][name], sha256(content)
        if before != now and (is_same_release or name != decision_page.NAME):
            differences.append(f"{name}, as it was logged: {before[:16]} → {now[:16]}")
    if differences and not is_same_release:
        differences.append(f"the files were made by {logged['drawn_by']}, now by {publication_log.drawn_by()}")
    return differences


def sha256(content: bytes) -> str:
    """Name the content of a file."""
    return hashlib.sha256(content).hexdigest()


def _changed_since(engine: sa.Engine, number: int, kept: Decision) -> list[str]:
    """Compare a decision's evidence with the hash that was stored beside it."""
    stored = decisions.hash_of(engine, number)
    now = digest(kept.evidence)
    return [] if stored == now else [f"evidence_hash, as it was written down: {stored} → {now}"]
