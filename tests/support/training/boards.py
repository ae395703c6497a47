"""Scoreboards to decide on, of losses whose truth is known."""

from datetime import date

import numpy as np

from core.config.tasks import Gate
from training.evaluation.board import Scoreboard, Track
from training.evaluation.e_values import Metric
from training.promotion.gate import Case

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


def of_two(b: Scoreboard, champion: str = "champion", since: date | None = None, metric: Metric = "brier") -> Case:
    return Case(b, metric, GATE, champion, since)
