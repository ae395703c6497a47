"""Decisions on scoreboards made to order, as the promote job writes them down."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from msgspec.structs import replace

from core.config.tasks import Gate
from training.evaluation.e_values import Metric
from training.evaluation.scoreboard import Scoreboard, Track
from training.ledger.decisions import Decision
from training.promotion import record
from training.promotion.gate import Verdict, decide
from training.promotion.inputs import GateInput
from training.promotion.state import GateState, Tenure

NAMED = {"trained_through": "2020-01-01", "data_hash": "d" * 16, "artifact_digest": "a" * 64}


def given(board: Scoreboard, metric: Metric = "brier", champion: str | None = None, **changes: Any) -> GateInput:
    """What a gate of alpha 0.05 is given of these rows; `base` is the baseline."""
    names = sorted(board.tracks)
    through = board.target_dates[-1].item() if len(board.labels) else None
    bare = GateInput(
        task="spy",
        series="GSPC",
        target_kind="direction",
        scored_from=0,
        contenders={name: f"hash-{name}" for name in names},
        session_date=date(2020, 6, 1),
        as_of=datetime(2021, 1, 2, 3, tzinfo=UTC),
        through=through,
        metric=metric,
        gate=Gate(alpha=0.05, block=5, min_rows=60),
        baseline="base",
        config_hash="c" * 16,
        basis="s" * 16,
        identities={name: f"hash-{name}" for name in names},
        versions={name: {"contender": name, "version": place, **NAMED} for place, name in enumerate(names, 1)},
        serving=None if champion is None else {"contender": champion, "version": 1, **NAMED},
        serving_kind=None if champion is None else "batch",
        newer_version=None,
        tenure=Tenure(None),
        champion=champion,
        is_pinned=False,
        is_lost=False,
        harm=1.0,
        failed_validation={},
        probation=None,
        previous_contender=None,
        fixed=None,
        eligible=frozenset(names),
        age_days=1,
    )
    return replace(bare, **changes)


def decided(board: Scoreboard, what: GateInput, left: GateState | None = None) -> tuple[Decision, Verdict]:
    """The decision on it, and the verdict behind it."""
    verdict = decide(what, what.rows(board), left or GateState())
    return record.decision(what, verdict), verdict


def contest(rows: int = 300, seed: int = 0, **skill: float) -> Scoreboard:
    """Contenders who know so much of a coin's bias: 0 is `base`, which says 0.5."""
    random = np.random.default_rng(seed)
    days = np.datetime64("2020-01-01") + np.arange(rows)
    p = random.uniform(0.1, 0.9, rows)
    labels = (random.uniform(size=rows) < p).astype(float)
    predicted = {
        name: np.clip(0.5 + (p - 0.5) * much + random.normal(0, 0.05, rows) * (much != 0), 0, 1)
        for name, much in {"base": 0.0, **skill}.items()
    }
    tracks = {name: Track(values, days - np.timedelta64(1, "D")) for name, values in sorted(predicted.items())}
    return Scoreboard(days, labels, tracks)
