"""The curves of a decision report: row by row the loss that was saved, and what the evidence was worth.

They are computed from the rows as they were known when it was decided, not from the stored state of the gate.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import sqlalchemy as sa

from features.arrays import Days, Floats
from training.evaluation import scoreboard
from training.evaluation.e_values import bound, loss, path, shared
from training.evaluation.scoreboard import Scoreboard
from training.ledger.decisions import Decision
from training.promotion.inputs import GateInput
from training.promotion.state import StoredState, is_fixed
from training.reports.explanations import best_first


@dataclass(frozen=True)
class Curve:
    """One challenger: `gained` is the loss saved so far, at each of `days`, the rows that both predicted.

    `worth`: what its evidence was worth when shared among all challengers, at each of `looks`. `digest` names the rows
    with their labels and both predictions.
    """

    challenger: str
    days: Days
    gained: Floats
    looks: Days
    worth: Floats
    digest: str


@dataclass(frozen=True)
class Curves:
    """The challengers of `against`, the leader first, on the rows after `since` (None: all)."""

    against: str
    is_against_champion: bool
    since: date | None
    of: tuple[Curve, ...]

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each challenger's rows."""
        return {one.challenger: one.digest for one in self.of}


def read(engine: sa.Engine, decision: Decision) -> Curves:
    """Read the curves of a decision that the gate made.

    They compare the challengers with the champion. Without a champion, or while no challenger has a full block of rows
    against it, which would make an empty plot, they compare all contenders with the baseline.
    """
    given = GateInput.of(decision)
    since = given.tenure.since if _is_against_champion(decision, given) else None
    scored_from = decision.evidence["first"]
    if since is not None and (scored_from is None or since.isoformat() < scored_from):
        since = None  # the first `scored_from` dates are not scored, so all dates must be read to count them
    return draw(given.rows(scoreboard.read(engine, given.scope, given.as_of, since)), decision)


def draw(board: Scoreboard, decision: Decision) -> Curves:
    """Compute the curves from a scoreboard that has the rows."""
    given, evidence = GateInput.of(decision), decision.evidence
    is_against_champion = _is_against_champion(decision, given)
    if is_against_champion and given.champion is not None:
        against, since = given.champion, given.tenure.since
        names = [one["challenger"] for one in evidence["comparisons"]]
    else:
        against, since = given.baseline, None
        names = [name for name in best_first(evidence) or sorted(board.tracks) if name != against]
    rows = board.after(since)
    drawn = [_curve(rows, given, against, name) for name in names if name in rows.tracks]
    if is_against_champion:
        drawn = _sharing(drawn, _others(decision, against, since, names))
    else:
        drawn = [one for one in drawn if len(one.days)]
    return Curves(against, is_against_champion, since, tuple(drawn))


def _is_against_champion(decision: Decision, given: GateInput) -> bool:
    is_compared = any(one["rows"] >= given.gate.block for one in decision.evidence["comparisons"])
    return given.champion in given.scope.contenders and is_compared


def _curve(rows: Scoreboard, given: GateInput, against: str, name: str) -> Curve:
    theirs, mine = rows.track(against).values, rows.track(name).values
    both = np.isfinite(theirs) & np.isfinite(mine)
    days, labels, p, q = rows.target_dates[both], rows.labels[both], theirs[both], mine[both]
    saved = loss(given.metric, labels, p) - loss(given.metric, labels, q)
    named = hashlib.sha256(days.astype("datetime64[D]").astype("<i8").tobytes())
    for values in (labels, p, q):
        named.update(values.astype("<f8").tobytes())
    # Evidence changes only where a block is full.
    block = given.gate.block
    ends = days[block - 1 :: block]
    worth = path(saved, bound(given.metric, p, q), block) if len(ends) else np.empty(0)
    return Curve(name, days, np.cumsum(saved), ends, worth, named.hexdigest()[:16])


def _others(decision: Decision, against: str, since: date | None, names: Sequence[str]) -> dict[str, float]:
    """Return the evidence of challengers of this tenure that are no longer eligible: they have used of alpha."""
    pairs = {
        one.challenger: one.pair
        for one in StoredState.of(decision).pairs
        if one.champion == against and one.challenger not in names
    }
    return {name: pair.evidence.e_value for name, pair in pairs.items() if pair.since == since and not is_fixed(name)}


def _sharing(drawn: Sequence[Curve], others: Mapping[str, float]) -> list[Curve]:
    """Replace each curve's evidence by its worth when shared among all, at every date that completes a block."""
    # A block of one challenger changes what the evidence of all the others is worth.
    looks = np.unique(np.concatenate([one.looks for one in drawn])) if drawn else np.empty(0, "datetime64[D]")
    at = {one.challenger: np.searchsorted(one.looks, looks, side="right") for one in drawn}
    held = {one.challenger: np.concatenate([[1.0], one.worth]) for one in drawn}
    worth = {one.challenger: np.empty(len(looks)) for one in drawn}
    for place in range(len(looks)):
        now = {name: float(values[at[name][place]]) for name, values in held.items()}
        for name, value in shared({**others, **now}).items():
            if name in worth:
                worth[name][place] = value
    return [Curve(one.challenger, one.days, one.gained, looks, worth[one.challenger], one.digest) for one in drawn]
