"""Transforms: pure functions from a history to one feature column, named by their parameters.

Training and serving run the same functions, and must agree to the bit however much history each has at hand. So a
value depends on nothing outside its `lookback` rows, and is computed from them in one fixed order: by shifted columns
added one after the other, never by running sums (whose rounding depends on where the history starts), and with
adjusted levels that live inside the window (tomorrow's dividend changes no row of today).
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from core.config.tasks import Feature, Parameter, Task
from core.errors import ConfigurationError

_SAYS = {"growth": "close, dividend and split (or value)"}


@dataclass(frozen=True)
class Transform:
    """One entry of the registry: how a feature is computed, from which columns and how much history.

    A transform takes the parameter `n` when `least_n` is set (its smallest value), and none otherwise.
    """

    compute: Callable[[pl.DataFrame, int], pl.Series]
    reads: tuple[str, ...]
    prefix: str
    least_n: int | None = None
    more_rows: int = 0

    def column(self, n: int) -> str:
        """The name of the feature column."""
        return self.prefix if self.least_n is None else f"{self.prefix}_{n}"

    def lookback(self, n: int) -> int:
        """The rows of history that a value needs, its own included."""
        return n + self.more_rows


@dataclass(frozen=True)
class Column:
    """A feature that a task declares, checked and ready to be computed."""

    name: str
    lookback: int
    transform: Transform
    n: int

    def compute(self, task: Task, history: pl.DataFrame) -> pl.Series:
        """The feature at every row of `history`; null or not finite where an observation that it needs is absent."""
        if absent := [name for name in self.transform.reads if name not in history.columns]:
            known = sorted(set(history.columns) - {"event_date", "target_date", "known_at", "growth"})
            raise ConfigurationError(
                f"The feature {self.name} of task {task.name} is made of {', '.join(_SAYS.get(a, a) for a in absent)}, "
                f"which its observations lack: they have {', '.join(known)}.",
                "Take the feature out of the task file, or choose a source that has these fields.",
            )
        return self.transform.compute(history, self.n).alias(self.name)


def columns(task: Task) -> tuple[Column, ...]:
    """The feature columns of a task, in the order of its file.

    Raises ConfigurationError for an unknown transform or parameter, a value out of range, or a feature named twice.
    """
    planned = tuple(_column(task, feature) for feature in task.features)
    names = [column.name for column in planned]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(
            f"Task {task.name} declares the feature {', '.join(twice)} more than once.", "Declare it once."
        )
    return planned


def _column(task: Task, feature: Feature) -> Column:
    transform = TRANSFORMS.get(feature.transform)
    if transform is None:
        raise ConfigurationError(
            f"Task {task.name} declares the feature {feature.transform!r}, which is no transform.",
            f"Known transforms: {', '.join(sorted(TRANSFORMS))}.",
        )
    n = _n(task, feature, transform.least_n)
    return Column(transform.column(n), transform.lookback(n), transform, n)


def _n(task: Task, feature: Feature, least: int | None) -> int:
    problem = f"The feature {feature.transform} of task {task.name}"
    known = "no parameters" if least is None else f"n, a whole number from {least}"
    if unknown := sorted(set(feature.parameters) - ({"n"} if least is not None else set())):
        raise ConfigurationError(f"{problem} has no parameter {', '.join(unknown)}.", f"It takes {known}.")
    if least is None:
        return 1
    n: Parameter | None = feature.parameters.get("n")
    if n is None:
        example = f"{feature.transform}: {{n: {max(least, 3)}}}"
        raise ConfigurationError(f"{problem} lacks its parameter n.", f"Write, for example, `- {example}`.")
    if isinstance(n, bool) or not isinstance(n, int) or n < least:
        raise ConfigurationError(f"{problem} cannot be computed for n = {n!r}.", f"It takes {known}.")
    return n


def _return(history: pl.DataFrame, n: int) -> pl.Series:
    growths = _lags(history, "growth", n)
    product = growths[0]
    for growth in growths[1:]:
        product = product * growth
    return product - 1.0


def _ma_ratio(history: pl.DataFrame, n: int) -> pl.Series:
    """With this date's adjusted close as 1, the close `age` dates ago is 1 over the product of the growths since."""
    growths = _lags(history, "growth", n - 1)
    since = growths[0]
    levels = 1.0 + 1.0 / since
    for growth in growths[1:]:
        since = since * growth
        levels = levels + 1.0 / since
    return n / levels - 1.0


def _volatility(history: pl.DataFrame, n: int) -> pl.Series:
    returns = [growth - 1.0 for growth in _lags(history, "growth", n)]
    mean = _sum(returns) / n
    deviations = [value - mean for value in returns]
    return (_sum([deviation * deviation for deviation in deviations]) / (n - 1)).sqrt()


def _range(history: pl.DataFrame, _n: int) -> pl.Series:
    return (history["high"] - history["low"]) / history["close"]


def _volume_change(history: pl.DataFrame, _n: int) -> pl.Series:
    """The day's split multiplies the number of shares, so the volume before it counts that many times."""
    volume = history["volume"]
    before = volume.shift(1) * history["split"]
    return (volume / before).log()


def _day_of_week(history: pl.DataFrame, _n: int) -> pl.Series:
    return history["event_date"].dt.weekday() - 1


def _lag(history: pl.DataFrame, n: int) -> pl.Series:
    return history["value"].shift(n - 1)


def _month(history: pl.DataFrame, _n: int) -> pl.Series:
    return history["target_date"].dt.month()


def _lags(history: pl.DataFrame, name: str, n: int) -> list[pl.Series]:
    """The column as it was 0, 1, … n - 1 dates before each row's."""
    return history.select(pl.col(name).shift(age).alias(str(age)) for age in range(n)).get_columns()


def _sum(values: list[pl.Series]) -> pl.Series:
    # One after the other: the last digits of polars' rolling sums depend on where the history starts.
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


TRANSFORMS = {
    "return": Transform(_return, ("growth",), "return", least_n=1, more_rows=1),
    "ma_ratio": Transform(_ma_ratio, ("growth",), "ma_ratio", least_n=2),
    "volatility": Transform(_volatility, ("growth",), "volatility", least_n=2, more_rows=1),
    "range": Transform(_range, ("high", "low", "close"), "range"),
    "volume_change": Transform(_volume_change, ("volume", "split"), "volume_change", more_rows=1),
    "day_of_week": Transform(_day_of_week, (), "day_of_week"),
    "lag": Transform(_lag, ("value",), "in", least_n=1),
    "month": Transform(_month, (), "month"),
}
"""What a task file may name under `features`.

`return` {n}: the adjusted return over the last n dates. `ma_ratio` {n}: the adjusted close over its mean of the last n
dates, minus 1. `volatility` {n}: the sample standard deviation of the last n adjusted returns. `range`: (high - low) /
close. `volume_change`: the logarithm of today's volume over yesterday's, adjusted for splits; absent where either is
zero. `day_of_week`: of the row's date, Monday 0. `lag` {n}: the value n dates before the target's, as `in_n`.
`month`: of the target's date, 1 to 12.
"""
# Raised when a transform's or the target's meaning changes, so that datasets of the old meaning are not reused.
DEFINITIONS = 1
