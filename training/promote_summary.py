"""The summary of the promote job: the decision in a line, the alias moves, and what to do where the gate waits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa

from training.ledger import decisions
from training.ledger.decisions import Decision
from training.ledger.entries import Move
from training.promotion.gate import LOST
from training.registry import versions


@dataclass(frozen=True)
class PromoteReport:
    """What was decided, the contenders that hold the aliases after it, and the moves that were made, mended or found.

    `number` is the decision's id; `contenders` maps the versions that were moved to their contenders; `ahead`: the
    instant of the last decision, where it is later than the instant that the job was given.
    """

    task: str
    outcome: str
    reason: str
    champion: str | None
    challenger: str | None
    beats_baseline: str
    metric: str
    mean_loss: Mapping[str, float]
    moves: tuple[Move, ...]
    is_new: bool
    number: int = 0
    contenders: Mapping[int, str] = field(default_factory=dict)
    ahead: datetime | None = None

    def sentence(self) -> str:
        """Describe the run in one line for a person."""
        moved = "".join(
            f"; {move.alias}: {self._named(move.from_version)} → {self._named(move.to_version)} ({move.why})"
            for move in self.moves
        )
        decided = f"{self.outcome} ({self.reason})"
        if self.ahead is not None:
            return (
                f"nothing to do: decision {self.number} was made as of {self.ahead:%Y-%m-%d}, later than this, and the "
                f"gate goes forward only; what it would have decided: contender replay {self.task} --from DATE{moved}"
            )
        if not self.is_new:
            return f"nothing to do: decision {self.number}, {decided}, is current{moved}{self._way_out}"
        champion, challenger = (self._with_loss(name) for name in (self.champion, self.challenger))
        return (
            f"decision {self.number}: {decided}: champion {champion}, challenger {challenger}, "
            f"beats the baseline: {self.beats_baseline}{moved}{self._way_out}"
        )

    def _named(self, version: int | None) -> str:
        if version is None:
            return "none"
        return f"{self.contenders[version]} v{version}" if version in self.contenders else f"v{version}"

    @property
    def _way_out(self) -> str:
        """How a person lets the gate decide again, where one moved the champion or MLflow lost it."""
        if self.reason == LOST:
            return f'; MLflow has no champion any more: contender rollback {self.task} --why "…"'
        if self.reason != "pinned":
            return ""
        return f'; moved by hand, so it stays until: contender unpin {self.task} --why "…"'

    def _with_loss(self, contender: str | None) -> str:
        loss = self.mean_loss.get(contender or "")
        return (contender or "none") + ("" if loss is None else f" ({self.metric} {loss:.4g})")


def described(engine: sa.Engine, report: PromoteReport) -> PromoteReport:
    """Add the id of the decision, the task's last one, and the contenders of the versions that were moved."""
    moved = {number for move in report.moves for number in (move.from_version, move.to_version) if number is not None}
    known = versions.numbered(engine, report.task, moved) if moved else {}
    names = {number: version.contender for number, version in known.items()}
    return replace(report, number=decisions.newest_number(engine, report.task) or 0, contenders=names)


def report_of(
    decision: Decision, made: Iterable[Move], *, is_new: bool, ahead: datetime | None = None
) -> PromoteReport:
    """Build the report of a decision that was made, or is current; a decision of a person has no losses."""
    # A decision of a person has none of these keys.
    evidence = decision.evidence
    is_baseline = decision.champion is not None and decision.champion == evidence.get("given", {}).get("baseline")
    beats = (
        "it is the baseline" if is_baseline else evidence.get("beats_baseline", {}).get(decision.champion, "unproven")
    )
    return PromoteReport(
        task=decision.task,
        outcome=decision.outcome,
        reason=decision.reason,
        champion=decision.champion,
        challenger=decision.challenger,
        beats_baseline=beats,
        metric=evidence.get("metric", ""),
        mean_loss=evidence.get("mean_loss", {}),
        moves=tuple(made),
        is_new=is_new,
        ahead=ahead,
    )
