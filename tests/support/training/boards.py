"""Scoreboards to decide on, of losses whose truth is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np

from core.config.tasks import Gate
from training.evaluation.e_values import Metric
from training.evaluation.scoreboard import Scoreboard, Track
from training.promotion import gate
from training.promotion.gate import Verdict
from training.promotion.inputs import GateInput
from training.promotion.state import GateState, Probation, Tenure

FIRST = np.datetime64("2020-01-01")
GATE = Gate(alpha=0.05, block=5, min_rows=60)


def days(n: int) -> np.ndarray:
    return FIRST + np.arange(n).astype("timedelta64[D]")


def track(values: np.ndarray) -> Track:
    return Track(np.asarray(values, float), days(len(values)) - np.timedelta64(1, "D"))


def board(labels: np.ndarray, **values: np.ndarray) -> Scoreboard:
    return Scoreboard(days(len(labels)), np.asarray(labels, float), {name: track(v) for name, v in values.items()})


def coins(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the probability that each of them is 1."""
    random = np.random.default_rng(seed)
    p = random.uniform(0.02, 0.98, n)
    return (random.uniform(size=n) < p).astype(float), p


@dataclass(frozen=True)
class Case:
    """What a gate decides on: rows, and the parts of its input that these tests vary."""

    board: Scoreboard
    metric: Metric
    gate: Gate
    champion: str | None
    since: date | None = None
    pinned: bool = False
    lost: bool = False
    has_newer: bool = False
    harm: float = 1.0
    failed: Mapping[str, str] = field(default_factory=dict)
    probation: Probation | None = None
    baseline: str = ""
    eligible: frozenset[str] | None = None
    age_days: int | None = None
    state: GateState = field(default_factory=GateState)

    @property
    def given(self) -> GateInput:
        names = frozenset(self.board.tracks)
        return GateInput(
            task="spy",
            series="GSPC",
            session_date=date(2020, 6, 1),
            as_of=datetime(2021, 1, 2, 3, tzinfo=UTC),
            through=None,
            age_days=self.age_days,
            metric=self.metric,
            gate=self.gate,
            target_kind="direction",
            scored_from=0,
            contenders={name: f"hash-{name}" for name in names},
            baseline=self.baseline,
            config_hash="c" * 16,
            basis="s" * 16,
            identities={name: f"hash-{name}" for name in names},
            versions={},
            eligible=names if self.eligible is None else self.eligible,
            failed_validation=self.failed,
            newer_version=9 if self.has_newer else None,
            harm=self.harm,
            champion=self.champion,
            serving=None,
            serving_kind=None,
            is_pinned=self.pinned,
            is_lost=self.lost,
            tenure=Tenure(self.since),
            probation=self.probation,
            previous_contender=None,
            fixed=None,
        )


def decide(case: Case) -> Verdict:
    return gate.decide(case.given, case.board, case.state)


def of_two(b: Scoreboard, champion: str = "champion", since: date | None = None, metric: Metric = "brier") -> Case:
    return Case(b, metric, GATE, champion, since)
