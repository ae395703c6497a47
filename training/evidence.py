"""The evidence that one contender's losses are smaller than another's: a betting e-process on paired differences.

The evidence is the capital of one who starts with 1 and bets, in order of date, that the differences
d = loss(champion) - loss(challenger) are positive. While they are not, on average over what could be known before,
that capital exceeds 1/a with probability at most a, however often one looks (Ville's inequality).

- *Bounded, exactly.* For the Brier score |d| <= |p-q| max(p+q, 2-p-q), for absolute errors |d| <= |f-g|: both are known
  before the label, so nothing is guessed and nothing clipped. Differences are bet on in units of the largest bound seen
  so far; a row that exceeds it is weighted down to it.
- *Blocks.* Rows are averaged in blocks before they are bet on, which takes out autocorrelation.
- *Stakes.* The mean capital of three fixed stakes: a mean of e-processes is one, and needs no tuning.

Sources: Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*; Choe and Ramdas,
*Comparing sequential forecasters*.
"""

import hashlib
from typing import Literal

import numpy as np

from training.history import Days
from training.procedures import Floats

Metric = Literal["brier", "mae"]

_STAKES = np.array([0.9, 0.3, 0.1])
_MOST = 1e12


def capital(differences: Floats, bounds: Floats, block: int) -> float:
    """What one unit has become by betting, block after block, that the differences are positive (at most 1e12).

    `bounds`: at least |difference| row by row, known before the label. Rows that do not fill a block wait.

    >>> capital(np.full(60, 0.5), np.ones(60), 1) > 1000 > 1 > capital(np.full(60, -0.5), np.ones(60), 1)
    True
    """
    blocks = len(differences) // block
    d, b = (values[: blocks * block].reshape(blocks, block) for values in (differences, bounds))
    seen = np.maximum.accumulate(np.concatenate([[0.0], b.max(axis=1, initial=0.0)]))[:-1]
    scale = np.maximum(seen, b[:, 0])
    weights = np.divide(scale[:, None], b, out=np.ones_like(b), where=b > scale[:, None])
    x = np.divide((weights * d).mean(axis=1), scale, out=np.zeros(blocks), where=scale > 0)
    logs = np.log1p(_STAKES[:, None] * np.clip(x, -1, 1)).sum(axis=1)
    return float(min(np.exp(np.minimum(logs, np.log(_MOST))).mean(), _MOST))


def loss(metric: Metric, labels: Floats, values: Floats) -> Floats:
    """The loss of each row: squared error of a probability, or absolute error."""
    return (labels - values) ** 2 if metric == "brier" else np.abs(labels - values)


def bound(metric: Metric, p: Floats, q: Floats) -> Floats:
    """The most by which the losses of two predictions can differ, whatever the label turns out to be."""
    return np.abs(p - q) * (np.maximum(p + q, 2 - p - q) if metric == "brier" else 1.0)


def rows_hash(dates: Days) -> str:
    """Names a set of rows: 16 hex digits of the SHA-256 over their target dates."""
    return hashlib.sha256(dates.astype("datetime64[D]").astype("<i8").tobytes()).hexdigest()[:16]
