"""Prediction metrics of a learner, updated row by row as the labels come, for each series in the log's order."""

import math
from collections import deque
from typing import Any, Protocol

WINDOWS = (5, 10, 20)
# The logarithm of 0 is infinite: one prediction, certain and wrong, would be the mean for ever.
_CLIP = 1e-15


class Scores(Protocol):
    """The metrics of one series."""

    def add(self, predicted: float, target: float) -> None:
        """Takes a prediction and its target."""
        ...

    def report(self) -> dict[str, Any]:
        """The metrics by name; None for one without rows, or one that no float can hold."""
        ...


class RegressionScores:
    """MAE, MSE, RMSE and MAPE (a share: 0.03 is 3 %), over all rows and over the last 5, 10 and 20."""

    def __init__(self) -> None:
        self.count = 0
        self.absolute = 0.0
        self.squared = 0.0
        self.relative = 0.0
        self.relative_count = 0
        self.recent: deque[tuple[float, float]] = deque(maxlen=WINDOWS[-1])

    def add(self, predicted: float, target: float) -> None:
        """MAPE leaves out targets of zero."""
        error = abs(predicted - target)
        self.count += 1
        self.absolute += error
        self.squared += error * error
        if target:
            self.relative += error / abs(target)
            self.relative_count += 1
        self.recent.append((predicted, target))

    def report(self) -> dict[str, Any]:
        """By the names that clients of online learning services use."""
        rows = list(self.recent)
        figures = {
            "count": self.count,
            **_means(self.count, self.absolute, self.squared, self.relative, self.relative_count, ""),
        }
        for window in WINDOWS:
            last = rows[-window:]
            errors = [abs(predicted - target) for predicted, target in last]
            shares = [error / abs(target) for error, (_, target) in zip(errors, last, strict=True) if target]
            figures |= _means(
                len(last), sum(errors), sum(error * error for error in errors), sum(shares), len(shares), f"_{window}"
            )
        return figures | _last(rows)


class BinaryScores:
    """Accuracy at 0.5, log loss and the area under the ROC curve (by 100 steps of the threshold)."""

    def __init__(self) -> None:
        self.count = 0
        self.right = 0
        self.log_loss = 0.0
        # Counts and not the predictions themselves: a checkpoint must not grow with the log.
        self.by_threshold = ([0] * 101, [0] * 101)
        self.recent: deque[tuple[float, float]] = deque(maxlen=WINDOWS[-1])

    def add(self, predicted: float, target: float) -> None:
        """`predicted` is P(1)."""
        is_one = target > 0.5
        self.count += 1
        self.right += (predicted >= 0.5) == is_one
        self.log_loss += _log_loss(predicted, is_one)
        self.by_threshold[is_one][int(min(max(predicted, 0.0), 1.0) * 100)] += 1
        self.recent.append((predicted, target))

    def report(self) -> dict[str, Any]:
        """Count, accuracy, log_loss, roc_auc; accuracy and log loss also over the last 5, 10 and 20 rows."""
        rows = list(self.recent)
        figures: dict[str, Any] = {
            "count": self.count,
            "accuracy": _mean(self.right, self.count),
            "log_loss": _mean(self.log_loss, self.count),
            "roc_auc": self._area(),
        }
        for window in WINDOWS:
            last = rows[-window:]
            figures[f"accuracy_{window}"] = _mean(
                sum((predicted >= 0.5) == (target > 0.5) for predicted, target in last), len(last)
            )
            figures[f"log_loss_{window}"] = _mean(
                sum(_log_loss(predicted, target > 0.5) for predicted, target in last), len(last)
            )
        return figures | _last(rows)

    def _area(self) -> float | None:
        """P(a 1 was predicted higher than a 0), ties counting half: the Mann-Whitney statistic over the steps."""
        zeros, ones = self.by_threshold
        pairs = sum(zeros) * sum(ones)
        below = won = 0.0
        for zero, one in zip(zeros, ones, strict=True):
            won += one * (below + zero / 2)
            below += zero
        return won / pairs if pairs else None


def _means(
    count: int, absolute: float, squared: float, relative: float, relative_count: int, suffix: str
) -> dict[str, float | None]:
    mse = _mean(squared, count)
    return {
        f"mae{suffix}": _mean(absolute, count),
        f"mse{suffix}": mse,
        f"rmse{suffix}": None if mse is None else math.sqrt(mse),
        f"mape{suffix}": _mean(relative, relative_count),
    }


def _last(rows: list[tuple[float, float]]) -> dict[str, float | None]:
    if not rows:
        return {"last_prediction": None, "last_actual": None, "last_error": None}
    predicted, target = rows[-1]
    return {"last_prediction": predicted, "last_actual": target, "last_error": _mean(target - predicted, 1)}


def _mean(total: float, count: int) -> float | None:
    # JSON has no infinity: a sum that has overflowed is no figure.
    return total / count if count and math.isfinite(total) else None


def _log_loss(predicted: float, is_one: bool) -> float:
    return -math.log(max(predicted if is_one else 1 - predicted, _CLIP))
