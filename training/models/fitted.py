"""The fitted models of batch procedures: plain numbers wherever they can be.

Everything that multiplies or sums does so row by row, in one fixed order and in one thread: a row gets the same
prediction to the bit, alone or among others, today or in a week. Plain numbers also load without scikit-learn.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from features.arrays import Floats

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

MONTHS = np.arange(1.0, 13.0)


@dataclass(frozen=True)
class Constant:
    """Predicts one value: the model of a window whose labels are all equal."""

    value: float

    def predict(self, rows: Floats) -> Floats:
        """The value, for every row."""
        return np.full(len(rows), self.value)


@dataclass(frozen=True)
class Linear:
    """bias + rows · weights, through the logistic function for a direction."""

    weights: tuple[float, ...]
    bias: float
    logistic: bool = False

    def predict(self, rows: Floats) -> Floats:
        """P(UP), or the value."""
        total = np.full(len(rows), self.bias)
        for column, weight in enumerate(self.weights):
            # Column by column and not `rows @ weights`: BLAS sums one row in another order than many, and serving
            # predicts one.
            total += rows[:, column] * weight
        return np.array([_sigmoid(x) for x in total.tolist()]) if self.logistic else total


@dataclass(frozen=True)
class SeasonalLinear:
    """The last value times the growth that a linear model expects of the month, given how the season went before."""

    growth: Linear
    lags: tuple[int, ...]
    month: int

    def predict(self, rows: Floats) -> Floats:
        """The forecast of each row's target; NaN where a lag is not positive, for growth has no meaning there."""
        usable = (rows[:, self.lags] > 0).all(axis=1)
        forecast = np.full(len(rows), math.nan)
        rows = rows[usable]
        forecast[usable] = rows[:, self.lags[0]] * np.exp(self.growth.predict(self.design(rows)))
        return forecast

    def design(self, rows: Floats) -> Floats:
        """Log of each lag relative to the last value, then twelve columns of which the target's month is one."""
        logs = np.log(rows[:, self.lags])
        return np.hstack([logs[:, 1:] - logs[:, :1], (rows[:, self.month, None] == MONTHS).astype(np.float64)])


@dataclass(frozen=True, eq=False)
class Trees:
    """A forest as plain arrays, shape (trees, nodes): the same sums as scikit-learn's, in a hundredth of the time."""

    feature: npt.NDArray[np.int32]  # of an inner node; 0 at a leaf, whose children are itself
    threshold: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    value: Floats
    depth: int

    @classmethod
    def of(cls, fitted: Sequence[Any]) -> "Trees":
        """Copies the `tree_` of fitted scikit-learn trees; the arrays of smaller trees end in nodes never reached."""
        nodes = (len(fitted), max(tree.node_count for tree in fitted))
        feature, left, right = (np.zeros(nodes, dtype=np.int32) for _ in range(3))
        threshold, value = np.zeros(nodes), np.zeros(nodes)
        for i, tree in enumerate(fitted):
            own = np.arange(tree.node_count)
            is_leaf = tree.children_left < 0
            feature[i, own] = np.where(is_leaf, 0, tree.feature)
            threshold[i, own] = tree.threshold
            left[i, own] = np.where(is_leaf, own, tree.children_left)
            right[i, own] = np.where(is_leaf, own, tree.children_right)
            value[i, own] = tree.value[:, 0, 0]
        return cls(feature, threshold, left, right, value, max(tree.max_depth for tree in fitted))

    def predict(self, rows: Floats) -> Floats:
        """The mean over the trees of the leaf that each row falls into."""
        narrow = rows.astype(np.float32)  # as the trees were fitted
        line, tree = np.arange(len(rows))[:, None], np.arange(len(self.feature))
        node = np.zeros((len(rows), len(self.feature)), dtype=np.int32)
        for _ in range(self.depth):
            goes_left = narrow[line, self.feature[tree, node]] <= self.threshold[tree, node]
            node = np.where(goes_left, self.left[tree, node], self.right[tree, node])
        total = np.zeros(len(rows))
        # Tree by tree: numpy's sum would add in another order for one row than for many.
        for leaf in self.value[tree, node].T:
            total += leaf
        return total / len(self.feature)


@dataclass(frozen=True)
class Estimator:
    """A fitted scikit-learn estimator behind the protocol of models."""

    fitted: Any
    target: Literal["direction", "value"]

    def predict(self, rows: Floats) -> Floats:
        """P(UP), or the value."""
        if not len(rows):
            return np.empty(0)
        with single_threaded():
            if self.target == "value":
                return np.asarray(self.fitted.predict(rows), dtype=np.float64)
            return np.ascontiguousarray(self.fitted.predict_proba(rows)[:, 1], dtype=np.float64)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Keeps BLAS and OpenMP to one thread: on small tables more are slower, and their sums vary with their number."""
    with _threads().limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _threads() -> "ThreadpoolController":
    import sklearn.ensemble  # noqa: F401 (the controller sees only libraries that are loaded)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _sigmoid(x: float) -> float:
    # Two forms, since `exp` of a large number overflows.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
