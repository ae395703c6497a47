"""From a situation to a case for the gate, and from its verdict to the decision with its evidence.

Of the evidence a decision keeps what it needs to be made again (`training.reports.reproduce`): `given`, all that the
gate was given besides the rows, which are in the database; and `carried`, what the next one goes on from.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal
from typing import Any

from training.evaluation.board import Scoreboard
from training.ledger.decisions import Decision
from training.promotion import collect
from training.promotion import state as gate_state
from training.promotion.collect import DecisionContext
from training.promotion.gate import (
    BOOTSTRAP,
    GUARD,
    PROMOTE,
    REFRESH,
    REJECT,
    SUCCESSION,
    Case,
    GateState,
    Probation,
    Verdict,
)
from training.promotion.inputs import Fixed, Given
from training.promotion.reign import Tenure
from training.registry.versions import Version

_INTEGERS_FROM = 1e16
"""Postgres gives a number back without an exponent, so from here on JSON takes it for an integer."""


def given(now: DecisionContext, session_date: date) -> Given:
    """What the gate is given besides the rows. A contender stands for the title when its version could be served."""
    champion, newer, guardian = now.champion, now.newer, now.guardian
    is_fixed = guardian is not None and not now.reign.goes_on
    return Given(
        scope=collect.scope(now.task, now.series),
        session_date=session_date,
        as_of=now.as_of,
        through=now.through,
        metric=now.task.metric,
        gate=now.task.gate,
        baseline=now.task.baseline,
        config_hash=now.task.config_hash,
        stands_on=now.stands_on,
        identities=now.identities,
        versions={name: _named(version) for name, version in sorted(now.newest.items())},
        holder=None if champion is None else _named(champion),
        holder_kind=None if champion is None else champion.kind,
        newer=None if newer is None else newer.version,
        reign=now.reign,
        champion=now.incumbent,
        pinned=now.is_pinned,
        lost=now.is_lost,
        harm=now.harm,
        unfit={**now.unfit, **now.spoilt},
        probation=None if guardian is None else Probation(guardian, now.reign.moved),
        former=now.before.contender if is_fixed and now.before is not None else None,
        fixed=_fixed(now) if is_fixed else None,
        stands=now.standing,
        age_days=None if now.newest_label is None else (now.as_of.date() - now.newest_label).days,
    )


def case(what: Given, board: Scoreboard, left: GateState) -> Case:
    """What the gate is asked."""
    return Case(
        board=board,
        metric=what.metric,
        gate=what.gate,
        champion=what.champion,
        since=what.reign.since,
        pinned=what.pinned,
        lost=what.lost,
        has_newer=what.newer is not None,
        harm=what.harm,
        unfit=what.unfit,
        probation=what.probation,
        baseline=what.baseline,
        stands=what.stands,
        age_days=what.age_days,
        carried=left,
    )


def taker(now: DecisionContext, verdict: Verdict) -> Version | None:
    """The version that the verdict gives the title to; None when it stays where it is."""
    if verdict.outcome not in (BOOTSTRAP, PROMOTE):
        return None
    if verdict.reason == GUARD and not now.reign.goes_on:
        return now.before
    return now.newest.get(verdict.champion or "")


def decision(what: Given, verdict: Verdict) -> Decision:
    """The verdict as it is written down, with the evidence that it stands on."""
    ranking = verdict.carried.ranking
    is_back = verdict.reason == GUARD and what.former is not None
    told = {
        "rows": 0 if ranking is None else ranking.seen,
        "first": None if ranking is None else ranking.first,
        "mean_loss": verdict.ranking,
        "comparisons": [asdict(comparison) for comparison in verdict.comparisons],
        "beats_baseline": verdict.beats_baseline,
    }
    exactly = {
        "given": what.rest(),
        "reign": _reign(what, verdict).plain(),
        "carried": gate_state.plain(verdict.carried, what.identities, what.stands),
    }
    return Decision(
        what.scope.task,
        what.scope.series,
        what.session_date,
        verdict.outcome,
        verdict.reason,
        what.former if is_back else verdict.champion,
        verdict.challenger,
        _as_kept({**what.told(), **_rounded(told), **exactly}),
    )


def _fixed(now: DecisionContext) -> Fixed | None:
    """What the fixed version said of rows that the pair had not seen. Rows it had seen are passed over anyway."""
    if now.before is None or now.guardian is None:
        return None
    pair = now.carried.pairs.get((now.incumbent or "", now.guardian, now.reign.moved))
    new = now.board.after(now.reign.moved if pair is None else pair.through or pair.since)
    values = [value if math.isfinite(value) else None for value in new.track(now.guardian).values.tolist()]
    days = [day.isoformat() for day in new.target_dates.tolist()]
    return Fixed(now.before.trained_through, dict(zip(days, values, strict=True)))


def _reign(what: Given, verdict: Verdict) -> Tenure:
    """The champion's reign after the verdict. What was refused once stays so, whoever reigns."""
    reign, through, holder = what.reign, what.through, what.holder
    refused = reign.refused
    if verdict.outcome == REJECT and (judged := what.versions.get(verdict.judged or "")) is not None:
        refused = (*refused, judged["version"])
    if verdict.outcome == BOOTSTRAP or holder is None:
        return Tenure(through, refused=refused)
    number = holder["version"]
    if verdict.outcome == REJECT:
        return replace(reign, refused=refused)
    if verdict.reason == SUCCESSION:
        return Tenure(through, before=number, moved=through, goes_on=True, refused=refused)
    if verdict.reason == GUARD:
        return Tenure(through, refused=refused) if reign.goes_on else Tenure(reign.since, refused=(*refused, number))
    if what.probation is not None and not _is_watched(what, what.probation, verdict):
        reign = reign.over()
    is_unwatched = reign.before is None or what.probation is None
    if verdict.reason == REFRESH and what.holder_kind == "batch" and is_unwatched:
        return replace(reign, before=number, moved=through, goes_on=False)
    return reign


def _is_watched(what: Given, probation: Probation, verdict: Verdict) -> bool:
    """Whether the one who had the title before was held against the champion: its probation is not over."""
    pair = verdict.carried.pairs.get((what.champion or "", probation.against, probation.since))
    return pair is not None and pair.seen <= what.gate.probation


def _named(version: Version) -> dict[str, Any]:
    return {
        "contender": version.contender,
        "version": version.version,
        "trained_through": version.trained_through.isoformat(),
        "data_hash": version.data_hash,
        "artifact_digest": version.artifact_digest,
    }


def _rounded(value: Any) -> Any:
    """The same as JSON knows it: floats to 12 digits, null for what is not a number, dates as text."""
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value


def _as_kept(value: Any) -> Any:
    """The same as Postgres will give it back, so that its hash is that of what is stored."""
    if isinstance(value, Mapping):
        return {key: _as_kept(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_kept(part) for part in value]
    if isinstance(value, float):
        return int(Decimal(repr(value))) if abs(value) >= _INTEGERS_FROM else value or 0.0
    return value
