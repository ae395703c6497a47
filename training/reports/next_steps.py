"""What the title waits for after a decision of the gate, in words: a first HOLD says little without it."""

from typing import Any

from training.ledger.decisions import Decision
from training.promotion.inputs import GateInput
from training.reports.explanations import number

_SPEAKS_FOR_ITSELF = ("champion_lost", "champion_unscorable", "stale")
_HAS_TOLD_HOW_FAR = ("not_enough_evidence", "within_margin")


def awaited(decision: Decision) -> list[str]:
    """What must be so before the title moves, and how far it is. Empty where the reason says it all."""
    if "given" not in decision.evidence or decision.reason in _SPEAKS_FOR_ITSELF:
        return []
    given = GateInput.of(decision)
    if given.is_pinned:
        return ["While it is pinned, evidence goes on being collected, and nobody takes the title."]
    return _crowning(decision, given) if decision.champion is None else _succession(decision, given)


def _crowning(decision: Decision, given: GateInput) -> list[str]:
    """A champion is chosen as soon as one can be."""
    if given.failed_validation and decision.evidence["mean_loss"]:
        return ["The first version that passes the checks is crowned."]
    counts = _scored(decision.evidence, given.baseline)
    if len(set(counts.values())) == 1:
        scored = f"all of them on {min(counts.values()):,}"
    else:
        scored = ", ".join(f"{name} on {count:,}" for name, count in counts.items())
    told = [
        f"Of those who are scored on {given.gate.min_rows} rows the one with the lowest mean loss is crowned.",
        f"Scored so far: {scored or 'nobody'}. Each new label of the series adds a row.",
    ]
    if given.scope.scored_from:
        told.append(f"The first {given.scope.scored_from} labelled rows are not scored (scored_from).")
    return told


def _scored(evidence: dict[str, Any], baseline: str) -> dict[str, int]:
    """How many labelled rows each contender has predicted, as the pairs with the baseline know it."""
    pairs = [
        one for one in evidence["carried"]["pairs"] if one["champion"] == baseline and one["pair"]["since"] is None
    ]
    said = {one["challenger"]: one["pair"]["challenger_said"] for one in pairs}
    return {baseline: pairs[0]["pair"]["champion_said"], **said} if pairs else {}


def _succession(decision: Decision, given: GateInput) -> list[str]:
    gate, evidence = given.gate, decision.evidence
    since = evidence["reign"]["since"]
    others = sorted({*given.eligible, *([given.champion] if given.champion else [])} - {decision.champion})
    if not others:
        return ["Nobody else has a version that could serve. Another contender in the task file would be a challenger."]
    enough = number(1 / gate.alpha)
    shared = f", shared among the {len(others)} challengers," if len(others) > 1 else ""
    if gate.rule == "margin":
        better = f"and its mean loss on them is smaller by more than {gate.margin:g}"
    else:
        better = f"its mean loss on them is smaller, and its evidence{shared} has reached {enough}"
    later = f" after {since}" if since else ""
    told = [
        f"Another contender takes the title when there are {gate.min_rows} rows{later} that both predicted, {better}."
    ]
    if since:
        known = f"The rows up to {since} were known when {decision.champion} came to the title"
        told = [f"{known}, so they count neither for nor against it.", *told]
    is_new = decision.champion != given.champion or since != (given.tenure.since and given.tenure.since.isoformat())
    if decision.reason in _HAS_TOLD_HOW_FAR:
        return told
    leader = None if is_new or not evidence["comparisons"] else evidence["comparisons"][0]
    return [*told, _progress(leader, gate.min_rows, enough, is_margin=gate.rule == "margin")]


def _progress(leader: dict[str, Any] | None, min_rows: int, enough: str, *, is_margin: bool) -> str:
    rows = leader["rows"] if leader else 0
    if rows < min_rows:
        return f"So far: {rows:,} of {min_rows} rows. Each new label of the series adds one."
    assert leader is not None  # noqa: S101
    if is_margin:
        return f"So far: {rows:,} rows."
    worth = f"the evidence of {leader['challenger']} is worth {number(leader['shared'])} of {enough}"
    return f"So far: {rows:,} rows, and {worth}."
