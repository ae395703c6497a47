"""All that a decision was given besides the rows of the scoreboard: kept with it, so that it can be made again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from core.config.tasks import Gate
from training.evaluation.board import Scoreboard, Track
from training.evaluation.e_values import Metric
from training.evaluation.scoreboard import Scope
from training.ledger.decisions import Decision
from training.promotion.gate import Probation
from training.promotion.reign import Tenure

_TOLD = ("as_of", "metric", "gate", "config_hash", "stands_on", "versions", "holder")
"""What stands in the evidence by itself, for people look for it there."""


@dataclass(frozen=True)
class Fixed:
    """What the version on probation, which stays as it was, said of the rows that nobody had looked at before."""

    trained_through: date
    said: Mapping[str, float | None]


@dataclass(frozen=True)
class Given:
    """What was so when it was decided.

    `through` is the newest scored date. `identities`: what each name on the board stands for. `versions` and `holder`,
    as the evidence names them: the newest version of each contender, and the one on the alias, of kind `holder_kind`.
    `newer`: the version that asks for a refresh. `former`: the contender of the fixed version on probation. For the
    rest see `training.promotion.gate.Case`; `reign` is the one before the decision.
    """

    scope: Scope
    session_date: date
    as_of: datetime
    through: date | None
    metric: Metric
    gate: Gate
    baseline: str
    config_hash: str
    stands_on: str
    identities: Mapping[str, str]
    versions: Mapping[str, Any]
    holder: Mapping[str, Any] | None
    holder_kind: str | None
    newer: int | None
    reign: Tenure
    champion: str | None
    pinned: bool
    lost: bool
    harm: float
    unfit: Mapping[str, str]
    probation: Probation | None
    former: str | None
    fixed: Fixed | None
    stands: frozenset[str]
    age_days: int | None

    def told(self) -> dict[str, Any]:
        """What stands in the evidence by itself."""
        values = {name: getattr(self, name) for name in _TOLD}
        return {
            **values,
            "series": self.scope.series,
            "as_of": self.as_of.isoformat(),
            "gate": self.gate.model_dump(mode="json"),
            "last": _iso(self.through),
        }

    def rest(self) -> dict[str, Any]:
        """All else, as JSON knows it, to the bit."""
        probation, fixed = self.probation, self.fixed
        return {
            "target_kind": self.scope.target_kind,
            "scored_from": self.scope.scored_from,
            "contenders": dict(self.scope.contenders),
            "baseline": self.baseline,
            "holder_kind": self.holder_kind,
            "newer": self.newer,
            "reign": self.reign.plain(),
            "champion": self.champion,
            "pinned": self.pinned,
            "lost": self.lost,
            "harm": self.harm,
            "unfit": dict(self.unfit),
            "probation": probation and {"against": probation.against, "since": _iso(probation.since)},
            "former": self.former,
            "fixed": fixed and {"trained_through": _iso(fixed.trained_through), "said": dict(fixed.said)},
            "stands": sorted(self.stands),
            "age_days": self.age_days,
        }

    @classmethod
    def of(cls, decision: Decision) -> "Given":
        """What a decision was given, as it was written down with it."""
        evidence = decision.evidence
        rest = dict(evidence["given"])
        probation, fixed = rest.pop("probation"), rest.pop("fixed")
        scope = Scope(
            decision.task, decision.series, rest.pop("target_kind"), rest.pop("contenders"), rest.pop("scored_from")
        )
        told = {name: evidence[name] for name in _TOLD} | {
            "as_of": datetime.fromisoformat(evidence["as_of"]),
            "gate": Gate.model_validate(evidence["gate"]),
        }
        return cls(
            scope=scope,
            session_date=decision.session_date,
            through=_day(evidence["last"]),
            identities=evidence["carried"]["identities"],
            reign=Tenure.of_plain(rest.pop("reign")),
            harm=float(rest.pop("harm")),
            probation=probation and Probation(probation["against"], _day(probation["since"])),
            fixed=fixed and Fixed(date.fromisoformat(fixed["trained_through"]), fixed["said"]),
            stands=frozenset(rest.pop("stands")),
            **told,
            **rest,
        )

    def on(self, board: Scoreboard) -> Scoreboard:
        """The rows that it was given of a board: none after the newest of them; and what the fixed version said."""
        cut = board.until(self.through or date.min)
        if self.fixed is None or self.probation is None:
            return cut
        late = cut.after(self.probation.since)
        said = [self.fixed.said.get(day.isoformat()) for day in late.target_dates.tolist()]
        values = np.array([np.nan if value is None else value for value in said], dtype=np.float64)
        through = np.full(len(said), np.datetime64(self.fixed.trained_through, "D"))
        return cut.with_late(self.probation.against, Track(values, through))


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _days(day: date) -> np.datetime64:
    return np.datetime64(day, "D")
