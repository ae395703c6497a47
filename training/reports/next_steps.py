"""Tells what has to happen next after a decision of the gate: the reason of a first HOLD alone says little."""

from typing import Any

from training.ledger.decisions import Decision
from training.promotion.inputs import GateInput
from training.promotion.state import StoredState, Tenure
from training.reports.explanations import number

# Sentences for these reasons tell already what to do, or how far it is; saying it twice would confuse.
_SAYS_WHAT_TO_DO = ("champion_lost", "champion_unscorable", "stale")
_SAYS_HOW_FAR = ("not_enough_evidence", "within_margin")


def describe(decision: Decision) -> list[str]:
    """Tell what must happen before the champion changes, and how far it is. Empty where the reason says it all."""
    if "given" not in decision.evidence or decision.reason in _SAYS_WHAT_TO_DO:
        return []
    given = GateInput.of(decision)
    if given.is_pinned:
        return ["While it is pinned, evidence goes on being collected, and the champion stays."]
    return _first_champion(decision, given) if decision.champion is None else _succession(decision, given)


def _first_champion(decision: Decision, given: GateInput) -> list[str]:
    if given.failed_validation and decision.evidence["mean_loss"]:
        return ["The first version that passes its checks becomes champion."]
    counts = _scored(decision, given.baseline)
    if len(set(counts.values())) == 1:
        scored = f"all of them on {min(counts.values()):,}"
    else:
        scored = ", ".join(f"{name} on {count:,}" for name, count in counts.items())
    steps = [
        f"Of the contenders that are scored on {given.gate.min_rows} rows, the one with the lowest mean loss becomes "
        "champion.",
        f"Scored so far: {scored or 'none'}. Each new label of the series adds a row.",
    ]
    if given.scope.scored_from:
        steps.append(f"The first {given.scope.scored_from} labelled rows are not scored (scored_from).")
    return steps


def _scored(decision: Decision, baseline: str) -> dict[str, int]:
    """Count the labelled rows that each contender has predicted, from the pairs with the baseline."""
    pairs = [one for one in StoredState.of(decision).pairs if one.champion == baseline and one.pair.since is None]
    predicted = {one.challenger: one.pair.challenger_predicted for one in pairs}
    return {baseline: pairs[0].pair.champion_predicted, **predicted} if pairs else {}


def _succession(decision: Decision, given: GateInput) -> list[str]:
    gate, evidence = given.gate, decision.evidence
    since = Tenure.after(decision).since
    others = sorted({*given.eligible, *([given.champion] if given.champion else [])} - {decision.champion})
    if not others:
        return ["No other contender has a version that could serve: add one to the task file, and it is a challenger."]
    enough = number(1 / gate.alpha)
    shared = f", shared among the {len(others)} challengers," if len(others) > 1 else ""
    if gate.rule == "margin":
        better = f"and its mean loss on them is smaller by more than {gate.margin:g}"
    else:
        better = f"its mean loss on them is smaller, and its evidence{shared} has reached {enough}"
    later = f" after {since}" if since else ""
    steps = [
        f"Another contender becomes champion when there are {gate.min_rows} rows{later} that both predicted, {better}."
    ]
    if since:
        known = f"The rows up to {since} were known when {decision.champion} became champion"
        steps = [f"{known}, so they count neither for nor against it.", *steps]
    if decision.reason in _SAYS_HOW_FAR:
        return steps
    # The comparisons are with the champion before the decision; after a change they say nothing of the next one.
    is_new = decision.champion != given.champion or since != given.tenure.since
    leader = None if is_new or not evidence["comparisons"] else evidence["comparisons"][0]
    return [*steps, _progress(leader, gate.min_rows, enough, is_margin=gate.rule == "margin")]


def _progress(leader: dict[str, Any] | None, min_rows: int, enough: str, *, is_margin: bool) -> str:
    rows = leader["rows"] if leader else 0
    if rows < min_rows:
        return f"So far: {rows:,} of {min_rows} rows. Each new label of the series adds one."
    assert leader is not None  # noqa: S101
    if is_margin:
        return f"So far: {rows:,} rows."
    evidence = f"the evidence of {leader['challenger']} is worth {number(leader['shared'])} of {enough}"
    return f"So far: {rows:,} rows, and {evidence}."
