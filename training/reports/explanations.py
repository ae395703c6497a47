"""Explains a decision in words: a sentence for every reason that the gate, its checks or a person can give."""

from collections.abc import Mapping
from typing import Any, Final

from training.ledger.decisions import Decision

REASONS: Final = {
    "best_backtest": (
        "There was no champion. {champion} has the lowest mean loss on the rows that all contenders predicted, each "
        "before its label was known."
    ),
    "succession": (
        "{judged} becomes champion instead of {before}: over {rows} rows its losses are smaller, and its evidence, "
        "worth {shared} when shared among all challengers, has reached the {needed} that alpha {alpha} requires."
    ),
    "refresh": (
        "A newer version of {champion}, the champion, replaces the one that serves. It passed its checks, and the "
        "evidence that it does worse than the version before is {harm}, below the {needed} that would reject it."
    ),
    "guard": (
        "{against}, the previous champion, is champion again: it went on predicting, and the evidence that its "
        "successor does worse has reached {needed}."
    ),
    "harm": (
        "The newer version of {before} is rejected: its holdout refit, fitted without the last rows, does worse on "
        "them than the version that serves. The evidence of harm is {harm}; {needed} is enough. That version is not "
        "judged again; the next one is."
    ),
    "pinned": (
        'A person moved the champion alias, so it stays until it is released: contender unpin {task} --why "…".'
    ),
    "champion_lost": (
        "MLflow has no champion any more, and the gate sets none until a person acts: contender rollback {task} "
        '--why "…".'
    ),
    "champion_unscorable": (
        "The champion has predicted none of the rows that count, or none of the newest {min_rows}, so no challenger "
        "can be compared with it. This happens when its declaration has changed since it became champion: change it "
        'back, or make another version champion with contender rollback {task} --to VERSION --why "…".'
    ),
    "stale": (
        "The newest label is {age_days} days old, more than the {max_staleness} days that the task allows: no alias "
        "moves on outdated labels."
    ),
    "no_challenger": "No other contender has a version that could be served, so there is no challenger to compare.",
    "challenger_unscorable": "{leader}, the first of the challengers, has predicted none of the rows that count.",
    "overlap": (
        "{leader}, the first of the challengers, cannot be compared with {before}: one of the two had been trained on "
        "dates that it predicted."
    ),
    "identical": (
        "{leader}, the first of the challengers, has predicted exactly what {before} predicted: there is no "
        "difference to choose by."
    ),
    "too_few_rows": (
        "There are too few rows to compare: {rows} of the {min_rows} that are needed. Rows from before the champion "
        "became champion do not count."
    ),
    "within_margin": (
        "{leader} leads the challengers, but its mean loss over {rows} rows is not smaller than that of {before} "
        "by more than the margin of {margin}."
    ),
    "not_enough_evidence": (
        "{leader} leads the challengers. The evidence that it is better than {before}, over {rows} rows, is worth "
        "{shared} when shared among all challengers; {needed} is needed."
    ),
    "not_finite": (
        "The newest version of {judged} is rejected: some of its predictions for the validation rows are not finite "
        "numbers."
    ),
    "out_of_range": "The newest version of {judged} is rejected: it gave a probability below 0 or above 1.",
    "constant": (
        "The newest version of {judged} is rejected: it predicts the same for every validation row, so it has learned "
        "nothing from the features."
    ),
    "fewer_rows": (
        "The newest version of {judged} is rejected: it was trained on fewer rows than the version that it would "
        "replace."
    ),
    "golden_batch": (
        "The newest version of {judged} is rejected: loaded from where it is kept, it no longer predicts what it "
        "predicted when it was made."
    ),
    "no_scores_yet": "No contender has been scored on {min_rows} rows yet, so no champion can be chosen.",
    "promoted": (
        "A person moved the alias {alias} to version {version}. The gate had no part in it, and leaves the alias there "
        'until it is released: contender unpin {task} --why "…".'
    ),
    "rolled_back": (
        "A person rolled the champion back to an earlier version, {version}. The gate had no part in it, and leaves "
        'the alias there until it is released: contender unpin {task} --why "…".'
    ),
    "replay_begins": (
        "The replay was started with {champion} as champion (--champion), so the gate had no part in it. From this "
        "session on it decides: a contender with enough evidence, on the rows after it, becomes champion."
    ),
    "first_version": "The first version of the contender that learns this task becomes champion.",
    "declared": "The task's declaration picks another contender, which becomes champion.",
}

COMPARED: Final = {
    "better": "better",
    "within_margin": "within margin",
    "not_enough_evidence": "not enough",
    "too_few_rows": "too few rows",
    "identical": "identical predictions",
    "overlap": "trained on the rows",
    "champion_unscorable": "champion without predictions",
    "challenger_unscorable": "no predictions",
}

REPLAY_BEGINS: Final = "the champion that the replay was told to begin with"
"""Why a champion was forced where `contender replay --champion` did it; there it is released at once."""

_TINY, _HUGE = 0.001, 1e6
BEATS: Final = {
    "yes": "beats the baseline",
    "no": "does not beat the baseline",
    "unproven": "not proven to beat the baseline",
}
IS_BASELINE: Final = "is the baseline"
"""What tables show for the baseline itself, where they tell which contenders beat it."""


def why(decision: Decision) -> str:
    """Explain in a sentence why it was decided so."""
    evidence = decision.evidence
    given, compared = evidence.get("given", {}), evidence.get("comparisons", [])
    # A decision of a person has no gate; its sentences use none of these figures.
    gate = evidence.get("gate", {"alpha": 1.0, "min_rows": 0, "margin": 0.0, "max_staleness": None})
    leader: dict[str, Any] = compared[0] if compared else {}
    failed = given.get("unfit", {})
    judged = next(
        (name for name in [leader.get("challenger"), given.get("champion"), *failed] if failed.get(name)), "a contender"
    )
    request = evidence.get("asked", {})
    return REASONS[_key(decision)].format(
        task=decision.task,
        champion=decision.champion,
        before=given.get("champion"),
        judged=decision.champion if decision.outcome == "PROMOTE" else judged,
        against=(given.get("probation") or {}).get("against"),
        leader=leader.get("challenger"),
        rows=f"{leader.get('rows', evidence.get('rows', 0)):,}",
        shared=number(leader.get("shared")),
        needed=number(1 / gate["alpha"]),
        harm=number(given.get("harm")),
        age_days=given.get("age_days"),
        alias=request.get("alias"),
        version=request.get("version"),
        **{name: gate[name] for name in ("alpha", "min_rows", "margin", "max_staleness")},
    )


def _key(decision: Decision) -> str:
    """Return the key of the sentence: a reason that means two things has two of them."""
    if decision.evidence.get("asked", {}).get("why") == REPLAY_BEGINS:
        return "replay_begins"
    has_no_champion = decision.champion is None and decision.evidence.get("given", {}).get("champion") is None
    return "no_scores_yet" if decision.reason == "too_few_rows" and has_no_champion else decision.reason


def after(decision: Decision) -> str:
    """Tell which contenders hold the aliases after it, and whether the champion beats the baseline."""
    if decision.champion is None:
        return "There is no champion."
    beats = decision.evidence.get("beats_baseline", {}).get(decision.champion)
    baseline = decision.evidence.get("given", {}).get("baseline")
    champion = f"Champion: {decision.champion}"
    if decision.champion == baseline:
        champion += f", which {IS_BASELINE}"
    elif beats is not None:
        champion += f", which is {BEATS[beats]}" if beats == "unproven" else f", which {BEATS[beats]}"
    challenger = f" Challenger: {decision.challenger}." if decision.challenger else " There is no challenger."
    return f"{champion}.{challenger}"


def marked(contender: str, *, is_champion: bool) -> str:
    """Mark the champion's name for a table.

    >>> marked("ridge", is_champion=False), marked("ridge", is_champion=True)
    ('ridge', 'ridge (champion)')
    """
    return f"{contender} (champion)" if is_champion else contender


def best_first(evidence: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean losses by contender, the best first."""
    # jsonb keeps no order of keys.
    means: dict[str, float] = evidence.get("mean_loss", {})
    return dict(sorted(means.items(), key=lambda item: (item[1], item[0])))


def number(value: float | None) -> str:
    """Format a number with four digits; a very large or small one only as that.

    >>> number(1234.5), number(0.0123456), number(20.0), number(0.00001), number(1e12), number(None)
    ('1,234', '0.01235', '20', '<0.001', '>1,000,000', '–')
    """
    if value is None:
        return "–"
    if 0 < value < _TINY:
        return f"<{_TINY:g}"
    if value > _HUGE:
        return f">{_HUGE:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def loss(value: float | None) -> str:
    """Format a loss with five digits, so that losses differ visibly and align in a column.

    >>> loss(0.25), loss(23.104321), loss(123456.0), loss(None)
    ('0.25000', '23.104', '123,456', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:#.5g}"
