"""What a decision says, in words: a sentence for every reason that the gate, its checks or a person can give."""

from collections.abc import Mapping
from typing import Any, Final

from training.ledger.decisions import Decision

REASONS: Final = {
    "best_backtest": (
        "Nobody was champion. {champion} has the lowest mean loss on the rows that all contenders predicted, each "
        "before its label was known."
    ),
    "succession": (
        "{judged} takes the title from {before}: over {rows} rows its losses are smaller, and the evidence for it, "
        "worth {shared} among all challengers, has reached the {needed} that alpha {alpha} asks for."
    ),
    "refresh": (
        "A newer version of {champion}, which is champion, takes over. Nothing was found against it: its checks "
        "passed, and the evidence that it does worse than the version before is {harm}, short of {needed}."
    ),
    "guard": (
        "{against}, which served before, is champion again: it went on predicting, and the evidence that the one who "
        "followed it does worse has reached {needed}."
    ),
    "harm": (
        "The newer version of {before} is not let in: its twin, fitted without the last rows, does worse on them "
        "than the version that serves. The evidence of harm is {harm}; {needed} is enough. That version is not asked "
        "again; the next one is."
    ),
    "pinned": (
        'A person put the champion where it is, so it stays until it is released: contender unpin {task} --why "…".'
    ),
    "champion_lost": (
        "MLflow has no champion any more, and nobody is crowned until a person acts: contender rollback {task} "
        '--why "…".'
    ),
    "champion_unscorable": (
        "The champion has predicted none of the rows that count, or none of the newest {min_rows}, so nobody can be "
        "compared with it. This is so when its declaration has changed since it was crowned: change it back, or give "
        'the title to another version with contender rollback {task} --to VERSION --why "…".'
    ),
    "stale": (
        "The newest label is {age_days} days old, more than the {max_staleness} that the task allows: no alias "
        "moves on old news."
    ),
    "no_challenger": "No other contender has a version that could be served, so there is nobody to compare with.",
    "challenger_unscorable": "{leader}, the first of the challengers, has predicted none of the rows that count.",
    "overlap": (
        "{leader}, the first of the challengers, cannot be compared with {before}: one of the two had learned rows "
        "of a date that it predicted."
    ),
    "identical": (
        "{leader}, the first of the challengers, has said exactly what {before} said: there is nothing to choose by."
    ),
    "too_few_rows": (
        "Nobody can be judged yet: of the {min_rows} rows that are needed there are {rows}. Rows from before the "
        "champion's crowning do not count."
    ),
    "within_margin": (
        "{leader} leads the challengers, but its mean loss over {rows} rows is not smaller than that of {before} "
        "by more than the margin of {margin}."
    ),
    "not_enough_evidence": (
        "{leader} leads the challengers. The evidence that it is better than {before}, over {rows} rows, is worth "
        "{shared} among all challengers; {needed} is needed."
    ),
    "not_finite": (
        "The newest version of {judged} is not let in: it says something that is not a number of rows that were "
        "kept to try it on."
    ),
    "out_of_range": "The newest version of {judged} is not let in: it gave a probability below 0 or above 1.",
    "constant": (
        "The newest version of {judged} is not let in: it says the same of every row, so it has learned nothing of "
        "them."
    ),
    "fewer_rows": "The newest version of {judged} is not let in: it was trained on fewer rows than the one it follows.",
    "golden_batch": (
        "The newest version of {judged} is not let in: read back from where it is kept, it no longer says what it "
        "said when it was made."
    ),
    "nobody_yet": "No contender has been scored on {min_rows} rows yet, so nobody can be crowned.",
    "promoted": (
        "A person gave the alias {alias} to version {version}. The gate was not asked, and leaves it there until it is "
        'released: contender unpin {task} --why "…".'
    ),
    "rolled_back": (
        "A person took the champion back to an earlier version, {version}. The gate was not asked, and leaves it there "
        'until it is released: contender unpin {task} --why "…".'
    ),
    "replay_begins": (
        "The replay was told to begin with {champion} (--champion), so the gate was not asked. From this night "
        "on it is: who has the evidence, on the rows after it, takes the title."
    ),
    "first_version": "The first version of the contender that learns this task takes the title.",
    "declared": "The declaration of the task picks another contender, which takes the title.",
}

COMPARED: Final = {
    "better": "better",
    "within_margin": "within margin",
    "not_enough_evidence": "not enough",
    "too_few_rows": "too few rows",
    "identical": "says the same",
    "overlap": "had learned rows",
    "champion_unscorable": "champion silent",
    "challenger_unscorable": "silent",
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
"""What is said of the baseline where it is asked who beats it."""


def why(decision: Decision) -> str:
    """The sentence for what was decided."""
    evidence = decision.evidence
    given, compared = evidence.get("given", {}), evidence.get("comparisons", [])
    gate = evidence.get("gate", {"alpha": 1.0, "min_rows": 0, "margin": 0.0, "max_staleness": None})
    leader: dict[str, Any] = compared[0] if compared else {}
    refused = given.get("unfit", {})
    judged = next(
        (name for name in [leader.get("challenger"), given.get("champion"), *refused] if refused.get(name)), "nobody"
    )
    asked = evidence.get("asked", {})
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
        alias=asked.get("alias"),
        version=asked.get("version"),
        **{name: gate[name] for name in ("alpha", "min_rows", "margin", "max_staleness")},
    )


def _key(decision: Decision) -> str:
    """Which sentence: where one reason means two things, the one that is meant."""
    if decision.evidence.get("asked", {}).get("why") == REPLAY_BEGINS:
        return "replay_begins"
    is_nobody = decision.champion is None and decision.evidence.get("given", {}).get("champion") is None
    return "nobody_yet" if decision.reason == "too_few_rows" and is_nobody else decision.reason


def after(decision: Decision) -> str:
    """Who has the title after it, who challenges, and whether the champion beats the baseline."""
    if decision.champion is None:
        return "Nobody is champion."
    beats = decision.evidence.get("beats_baseline", {}).get(decision.champion)
    baseline = decision.evidence.get("given", {}).get("baseline")
    told = f"Champion: {decision.champion}"
    if decision.champion == baseline:
        told += f", which {IS_BASELINE}"
    elif beats is not None:
        told += f", which is {BEATS[beats]}" if beats == "unproven" else f", which {BEATS[beats]}"
    challenger = f" Challenger: {decision.challenger}." if decision.challenger else " Nobody challenges."
    return f"{told}.{challenger}"


def marked(contender: str, *, is_champion: bool) -> str:
    """The name as a table has it.

    >>> marked("ridge", is_champion=False), marked("ridge", is_champion=True)
    ('ridge', 'ridge (champion)')
    """
    return f"{contender} (champion)" if is_champion else contender


def best_first(evidence: Mapping[str, Any]) -> dict[str, float]:
    """The mean losses by contender, the best first: a database keeps no order of names."""
    means: dict[str, float] = evidence.get("mean_loss", {})
    return dict(sorted(means.items(), key=lambda item: (item[1], item[0])))


def number(value: float | None) -> str:
    """Four digits, as people read them; what is very large or small only as that.

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
    """Five digits, so that losses can be told apart and stand under each other.

    >>> loss(0.25), loss(23.104321), loss(123456.0), loss(None)
    ('0.25000', '23.104', '123,456', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:#.5g}"
