"""The input of a decision besides the rows of the scoreboard: collected once, judged, and stored with the decision.

A decision can therefore be made again (`training.reports.reproduce`). The stored JSON is older than some names here:
`field(name=...)` says under which key an attribute is stored.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
from msgspec import Struct, convert, field, to_builtins

from core.config.tasks import Gate
from training.evaluation.e_values import Metric
from training.evaluation.scoreboard import Scope, Scoreboard, Track
from training.ledger.decisions import Decision
from training.promotion.state import GateState, PairKey, Probation, Tenure, restore_state

_OF_EVIDENCE = ("series", "as_of", "last", "metric", "gate", "config_hash", "stands_on", "versions", "holder")
"""What is stored in the evidence itself, where people look for it; the rest is stored under `given`."""

_OF_DECISION = ("task", "session_date", "identities")
"""What other parts of the decision hold: its columns, and the state that it leaves."""


class FixedPredictions(Struct, frozen=True):
    """What the fixed version on probation predicted of the rows that no decision had seen, by date in ISO format."""

    trained_through: date
    values: Mapping[str, float | None] = field(name="said")


class GateInput(Struct, frozen=True, kw_only=True):
    """Everything a decision depends on besides the rows and what the decision before left.

    Of the task and the data:
    `through`: the newest scored date; `age_days`: the age of the newest label. `contenders`: each with the hash of its
    declaration. `identities`: what each name on the scoreboard means. `basis`: names what evidence depends on
    besides rows and contenders.

    Of the versions:
    `versions`: the newest version of each contender; `eligible`: the contenders that may become champion, and the
    champion; `failed_validation`: why the newest version of a contender cannot be served, as a reason code;
    `newer_version`: a version of the champion's contender that is newer than the one that serves, and `harm` the
    evidence that its holdout refit does worse than that one.

    Of the champion:
    `champion`: its name on the scoreboard; `serving`: its version, made by a contender of kind `serving_kind`;
    `is_pinned`: a person moved it, so it stays; `is_lost`: MLflow has lost it, and the gate waits for a person.
    `tenure`: as it was before the decision. `probation`: the previous champion, where it is watched; where it is a
    fixed version, `previous_contender` made it and `fixed` are its predictions.
    """

    task: str
    series: str
    session_date: date
    as_of: datetime
    through: date | None = field(name="last")
    age_days: int | None
    metric: Metric
    gate: Gate
    target_kind: str
    scored_from: int
    contenders: Mapping[str, str]
    baseline: str
    config_hash: str
    basis: str = field(name="stands_on")
    identities: Mapping[str, str]
    versions: Mapping[str, Any]
    eligible: frozenset[str] = field(name="stands")
    failed_validation: Mapping[str, str] = field(name="unfit")
    newer_version: int | None = field(name="newer")
    harm: float
    champion: str | None
    serving: Mapping[str, Any] | None = field(name="holder")
    serving_kind: str | None = field(name="holder_kind")
    is_pinned: bool = field(name="pinned")
    is_lost: bool = field(name="lost")
    tenure: Tenure = field(name="reign")
    probation: Probation | None
    previous_contender: str | None = field(name="former")
    fixed: FixedPredictions | None

    @property
    def scope(self) -> Scope:
        """Which predictions are on the task's scoreboard."""
        return Scope(self.task, self.series, self.target_kind, self.contenders, self.scored_from)

    def rows(self, board: Scoreboard) -> Scoreboard:
        """Select the rows up to the newest that was given, with the predictions of the fixed version."""
        # Made again later, the database has newer rows, which the decision did not know.
        given = board.until(self.through or date.min)
        if self.fixed is None or self.probation is None:
            return given
        days = given.after(self.probation.since).target_dates.tolist()
        predicted = [self.fixed.values.get(day.isoformat()) for day in days]
        values = np.array([np.nan if value is None else value for value in predicted], dtype=np.float64)
        through = np.full(len(days), np.datetime64(self.fixed.trained_through, "D"))
        return given.with_late(self.probation.against, Track(values, through))

    def pair_keys(self) -> set[PairKey]:
        """Return the pairs that the gate will compare."""
        # Only rows after the newest that each of these has counted are read: a session costs its own rows.
        keys: set[PairKey] = set()
        if self.champion is not None:
            keys |= {(self.champion, name, self.tenure.since) for name in self.eligible - {self.champion}}
            if self.probation is not None:
                keys.add((self.champion, self.probation.against, self.probation.since))
        for name in self.contenders:
            if name != self.baseline:
                keys |= {(self.baseline, name, None), (name, self.baseline, None)}
        return keys

    def state_after(self, last: Decision | None) -> GateState:
        """Restore what the last decision of the gate left, as far as it applies to this input."""
        tenure = self.champion, self.tenure.since
        return restore_state(last, self.basis, self.identities, self.eligible, tenure)

    def evidence(self) -> dict[str, Any]:
        """Convert to what the evidence of the decision keeps, to the bit; `of` is the way back."""
        plain = to_builtins(self, enc_hook=_encode)
        # msgspec writes UTC as "Z", and a set in any order; the stored form has "+00:00", and names in order.
        plain |= {"as_of": self.as_of.isoformat(), "stands": sorted(self.eligible)}
        given = {name: value for name, value in plain.items() if name not in {*_OF_EVIDENCE, *_OF_DECISION}}
        return {**{name: plain[name] for name in _OF_EVIDENCE}, "given": given}

    @classmethod
    def of(cls, decision: Decision) -> "GateInput":
        """Read the input that was stored with a decision."""
        evidence = decision.evidence
        elsewhere = {
            "task": decision.task,
            "session_date": decision.session_date,
            "identities": evidence["carried"]["identities"],
        }
        stored = {**evidence["given"], **{name: evidence[name] for name in _OF_EVIDENCE}, **elsewhere}
        return convert(stored, cls, dec_hook=_decode)


def _encode(value: Any) -> Any:
    if isinstance(value, Gate):
        return value.model_dump(mode="json")
    raise NotImplementedError(type(value))


def _decode(kind: type, value: Any) -> Any:
    if kind is Gate:
        return Gate.model_validate(value)
    raise NotImplementedError(kind)
