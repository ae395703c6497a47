"""The baselines: any contender has to beat them to be worth its cost."""

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from features.arrays import Floats
from training.models.base import Incremental, Procedure, Shape
from training.models.incremental import Growth, Repeat, SeriesModel


class ExpandingMean:
    """The mean of all labels so far; for a direction, the share of UP."""

    def __init__(self) -> None:
        self.total = 0.0
        self.labels = 0

    def predict(self, rows: Floats) -> Floats:
        """The same value for every row."""
        return np.full(len(rows), self.total / self.labels if self.labels else math.nan)

    def learn(self, row: Floats, label: float) -> None:  # noqa: ARG002 (the protocol's row)
        """Adds one label to the mean."""
        self.total += label
        self.labels += 1


class Baseline(Procedure):
    """A procedure that any other is measured against."""

    kind: ClassVar[Literal["baseline"]] = "baseline"


class BaseRate(Baseline):
    """The expanding mean of the labels."""

    def make(self, shape: Shape) -> Incremental:  # noqa: ARG002 (needs no shape)
        """A mean of no labels yet."""
        return ExpandingMean()


class Naive(Baseline):
    """Predicts the last value."""

    def make(self, shape: Shape) -> Incremental:
        """A memory of one value."""
        return SeriesModel(Repeat(1), shape)


class SeasonalNaive(Baseline):
    """Predicts the value of one season ago."""

    season: int = Field(default=12, ge=2)

    def make(self, shape: Shape) -> Incremental:
        """A memory of one season."""
        return SeriesModel(Repeat(self.season), shape)


class SeasonalGrowth(Baseline):
    """The value of one season ago, grown as the last value has: one line of arithmetic that is hard to beat."""

    targets: ClassVar[frozenset[str]] = frozenset({"value"})
    season: int = Field(default=12, ge=2)

    def make(self, shape: Shape) -> Incremental:
        """A memory of one season and one value."""
        return SeriesModel(Growth(self.season), shape)
