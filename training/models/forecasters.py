"""Models of the series itself: they remember its values rather than look at features, and forecast the next one."""

import copy
import math
from collections import deque
from itertools import count, takewhile
from typing import Protocol

import numpy as np

from features.arrays import Floats
from training.models.base import Shape


class Forecaster(Protocol):
    """Follows one series value by value."""

    def forecast(self) -> float:
        """The value after the last one learned; NaN when there is no forecast yet."""
        ...

    def learn(self, value: float) -> None:
        """Takes the next value of the series."""
        ...


class SeriesModel:
    """A forecaster behind the protocol of models.

    The lags in a row (`in_1` is the newest) say where the row stands in the series. Values that they hold and the
    forecaster has not seen are learned first, on a copy when predicting: so the first row brings the history before
    it, and a model that is a few values behind the row forecasts the row's target, not the one after its own last
    value. Lags that do not continue what was learned (a restated past) are passed over. Only where the target is the
    value itself do lags and labels speak of the same numbers.
    """

    def __init__(self, forecaster: Forecaster, shape: Shape) -> None:
        self.forecaster = forecaster
        lags = takewhile(shape.features.__contains__, (f"in_{n}" for n in count(1)))
        self.lag_columns = [shape.features.index(lag) for lag in lags] if shape.target == "value" else []
        self.newest_first: deque[float] = deque(maxlen=len(self.lag_columns))

    def predict(self, rows: Floats) -> Floats:
        """The forecast of each row's target."""
        return np.array([self._forecast(self._unseen(row)) for row in rows], dtype=np.float64)

    def learn(self, row: Floats, label: float) -> None:
        """Learns the label as the value that follows the row's lags."""
        for value in [*self._unseen(row), float(label)]:
            self.forecaster.learn(value)
            self.newest_first.appendleft(value)

    def _forecast(self, unseen: list[float]) -> float:
        forecaster = copy.deepcopy(self.forecaster) if unseen else self.forecaster
        for value in unseen:
            forecaster.learn(value)
        forecast = float(forecaster.forecast())
        return forecast if math.isfinite(forecast) else math.nan

    def _unseen(self, row: Floats) -> list[float]:
        """The row's lags that came after the last value learned, oldest first."""
        lags: list[float] = row[self.lag_columns].tolist()
        known = list(self.newest_first)
        if not known:
            return lags[::-1]
        for missed in range(len(lags) // 2 + 1):
            overlap = min(len(known), len(lags) - missed)
            if lags[missed : missed + overlap] == known[:overlap]:
                return lags[:missed][::-1]
        return []


class Repeat:
    """Says the value of one season ago again; with a season of 1, the last value."""

    def __init__(self, season: int) -> None:
        self.values: deque[float] = deque(maxlen=season)

    def forecast(self) -> float:
        """y[t] = y[t - season]."""
        return self.values[0] if len(self.values) == self.values.maxlen else math.nan

    def learn(self, value: float) -> None:
        """Keeps one season of values."""
        self.values.append(value)


class Growth:
    """Carries last season's step over to this one: y[t] = y[t - season] · y[t - 1] / y[t - 1 - season]."""

    def __init__(self, season: int) -> None:
        self.values: deque[float] = deque(maxlen=season + 1)

    def forecast(self) -> float:
        """The value of a season ago, grown as the last value has grown since its own season ago."""
        if len(self.values) < (self.values.maxlen or 0) or self.values[0] == 0:
            return math.nan
        return self.values[1] * self.values[-1] / self.values[0]

    def learn(self, value: float) -> None:
        """Keeps one season of values and one more."""
        self.values.append(value)
