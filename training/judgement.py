"""From a situation to a case for the gate, and from its verdict to the decision with its evidence.

Of the evidence a decision keeps what it needs to be made again: `given`, all that the gate was given besides the rows,
which are in the database; and `carried`, what the next one goes on from.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from typing import Any

from training.decisions import Decision
from training.gate import BOOTSTRAP, GUARD, PROMOTE, REFRESH, REJECT, SUCCESSION, Case, Probation, Verdict
from training.reign import Reign
from training.situation import Situation
from training.versions import Version


def case(situation: Situation) -> Case:
    """What the gate is asked. A contender stands for the title when it has a version that could be served."""
    guardian = situation.guardian
    return Case(
        board=situation.board,
        metric=situation.task.metric,
        gate=situation.task.gate,
        champion=situation.incumbent,
        since=situation.reign.since,
        pinned=situation.is_pinned,
        has_newer=situation.newer is not None,
        harm=situation.harm,
        unfit={**situation.unfit, **situation.spoilt},
        probation=None if guardian is None else Probation(guardian, situation.reign.moved),
        baseline=situation.task.baseline,
        stands=situation.standing,
        age_days=None if situation.through is None else (situation.as_of.date() - situation.through).days,
        carried=situation.carried,
    )


def taker(situation: Situation, verdict: Verdict) -> Version | None:
    """The version that the verdict gives the title to; None when it stays where it is."""
    if verdict.outcome not in (BOOTSTRAP, PROMOTE):
        return None
    if verdict.reason == GUARD and not situation.reign.goes_on:
        return situation.before
    return situation.newest.get(verdict.champion or "")


def decision(situation: Situation, verdict: Verdict, session_date: date) -> Decision:
    """The verdict as it is written down, with the evidence that it stands on."""
    task, ranking = situation.task, verdict.carried.ranking
    taken = taker(situation, verdict)
    champion = verdict.champion if taken is None else taken.contender
    asked = case(situation)
    evidence = {
        "series": situation.series,
        "as_of": situation.as_of.isoformat(),
        "metric": task.metric,
        "gate": task.gate.model_dump(mode="json"),
        "config_hash": task.config_hash,
        "stands_on": situation.stands_on,
        "rows": 0 if ranking is None else ranking.seen,
        "first": None if ranking is None else ranking.first,
        "last": situation.through,
        "versions": {name: _named(version) for name, version in sorted(situation.newest.items())},
        "holder": None if situation.champion is None else _named(situation.champion),
        "mean_loss": verdict.ranking,
        "comparisons": [asdict(comparison) for comparison in verdict.comparisons],
        "beats_baseline": verdict.beats_baseline,
        "given": {
            "champion": asked.champion,
            "since": asked.since,
            "pinned": asked.pinned,
            "has_newer": asked.has_newer,
            "harm": asked.harm,
            "unfit": asked.unfit,
            "probation": None if asked.probation is None else asdict(asked.probation),
            "stands": sorted(asked.stands or ()),
            "age_days": asked.age_days,
        },
    }
    carried = {
        "identities": situation.identities,
        "ranked": sorted(situation.standing),
        "ranking": None if ranking is None else ranking.plain(),
        "pairs": [
            {"champion": champion, "challenger": challenger, "pair": pair.plain()}
            for (champion, challenger, _), pair in verdict.carried.pairs.items()
        ],
    }
    return Decision(
        task.name,
        situation.series,
        session_date,
        verdict.outcome,
        verdict.reason,
        champion,
        verdict.challenger,
        {**_plain(evidence), "reign": _reign(situation, verdict).plain(), "carried": carried},
    )


def _reign(situation: Situation, verdict: Verdict) -> Reign:
    """The champion's reign after the verdict."""
    reign, through, holder = situation.reign, situation.through, situation.champion
    if verdict.outcome == BOOTSTRAP or holder is None:
        return Reign(through)
    if verdict.outcome == REJECT:
        newer = situation.newer
        is_of_refresh = newer is not None and verdict.judged == situation.incumbent
        return replace(reign, refused=(*reign.refused, newer.version)) if newer is not None and is_of_refresh else reign
    if verdict.reason == SUCCESSION:
        return Reign(through, before=holder.version, moved=through, goes_on=True)
    if verdict.reason == GUARD:
        return Reign(through) if reign.goes_on else Reign(reign.since, refused=(*reign.refused, holder.version))
    if situation.guardian is not None and not _is_watched(situation, verdict):
        reign = replace(reign, before=None, moved=None, goes_on=False)
    if verdict.reason == REFRESH and holder.kind == "batch" and reign.before is None:
        return replace(reign, before=holder.version, moved=through)
    return reign


def _is_watched(situation: Situation, verdict: Verdict) -> bool:
    """Whether the one who had the title before was held against the champion: its probation is not over."""
    meeting = (situation.incumbent or "", situation.guardian or "", situation.reign.moved)
    return meeting in verdict.carried.pairs


def _named(version: Version) -> dict[str, Any]:
    return {
        "contender": version.contender,
        "version": version.version,
        "trained_through": version.trained_through,
        "data_hash": version.data_hash,
        "artifact_digest": version.artifact_digest,
    }


def _plain(value: Any) -> Any:
    """The same as JSON knows it: floats to 12 digits, null for what is not a number, dates as text."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value
