"""From a verdict to the decision with its evidence, as it is stored.

The evidence keeps what a decision needs to be made again (`training.reports.reproduce`): its input, and as `carried`
the state that the next decision goes on from. The rows themselves are in the database.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from training.ledger.decisions import Decision
from training.promotion import state as gate_state
from training.promotion.gate import BOOTSTRAP, GUARD, REFRESH, REJECT, SUCCESSION, Verdict
from training.promotion.inputs import GateInput
from training.promotion.state import Probation, Tenure

# Postgres gives a number back without an exponent, so from here on JSON takes it for an integer.
_INTEGERS_FROM = 1e16


def decision(given: GateInput, verdict: Verdict) -> Decision:
    """Build the decision that is stored, with its evidence."""
    ranking = verdict.state.ranking
    is_fixed_back = verdict.reason == GUARD and given.previous_contender is not None
    shown = {
        "rows": 0 if ranking is None else ranking.seen,
        "first": None if ranking is None else ranking.first,
        "mean_loss": verdict.ranking,
        "comparisons": [asdict(comparison) for comparison in verdict.comparisons],
        "beats_baseline": verdict.beats_baseline,
    }
    # What is computed from again must be exact to the bit, so only what is shown is rounded.
    exact = {
        **given.evidence(),
        "reign": to_builtins(_tenure(given, verdict)),
        "carried": gate_state.to_json(verdict.state, given.identities, given.eligible),
    }
    return Decision(
        given.task,
        given.series,
        given.session_date,
        verdict.outcome,
        verdict.reason,
        given.previous_contender if is_fixed_back else verdict.champion,
        verdict.challenger,
        _as_stored({**_rounded(shown), **exact}),
    )


def _tenure(given: GateInput, verdict: Verdict) -> Tenure:
    """Return the champion's tenure after the verdict. A version that was refused once stays refused."""
    tenure, through = given.tenure, given.through
    # Versions never change, so one that was rejected would be rejected again every session.
    refused = tenure.refused
    if verdict.outcome == REJECT and (rejected := given.versions.get(verdict.judged or "")) is not None:
        refused = (*refused, rejected["version"])
    if verdict.outcome == BOOTSTRAP or given.serving is None:
        return Tenure(through, refused=refused)
    serving = given.serving["version"]
    if verdict.outcome == REJECT:
        return replace(tenure, refused=refused)
    if verdict.reason == SUCCESSION:
        return Tenure(through, previous=serving, moved=through, is_live=True, refused=refused)
    if verdict.reason == GUARD:
        if tenure.is_live:
            return Tenure(through, refused=refused)
        # The version that did worse than the one before it is not tried again.
        return Tenure(tenure.since, refused=(*refused, serving))
    if given.probation is not None and not _is_watched(given, given.probation, verdict):
        tenure = tenure.without_probation()
    has_no_previous = tenure.previous is None or given.probation is None
    # An incremental contender's newer version has learned on from the one before: there is nothing to go back to.
    if verdict.reason == REFRESH and given.serving_kind == "batch" and has_no_previous:
        return replace(tenure, previous=serving, moved=through, is_live=False)
    return tenure


def _is_watched(given: GateInput, probation: Probation, verdict: Verdict) -> bool:
    """Tell whether the previous champion was compared with the champion: its probation is not over."""
    pair = verdict.state.pairs.get((given.champion or "", probation.against, probation.since))
    return pair is not None and pair.seen <= given.gate.probation


def _rounded(value: Any) -> Any:
    """Convert to JSON: floats to 12 digits, null for what is not finite, dates as text."""
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value


def _as_stored(value: Any) -> Any:
    """Convert numbers to what Postgres gives back, so that the evidence hash is that of what is stored."""
    if isinstance(value, Mapping):
        return {key: _as_stored(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_stored(part) for part in value]
    if isinstance(value, float):
        # jsonb has no negative zero either.
        return int(Decimal(repr(value))) if abs(value) >= _INTEGERS_FROM else value or 0.0
    return value
