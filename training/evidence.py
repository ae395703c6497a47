"""The evidence that one contender's losses are smaller than another's: a betting e-process on paired differences.

The evidence is the capital of one who starts with 1 and bets, in order of date, that the differences
d = loss(champion) - loss(challenger) are positive. While they are not, on average over what could be known before,
that capital exceeds 1/a with probability at most a, however often one looks (Ville's inequality).

- *Bounded, exactly.* For the Brier score |d| <= |p-q| max(p+q, 2-p-q), for absolute errors |d| <= |f-g|: both are known
  before the label, so nothing is guessed and no difference is clipped.
- *Scales.* A bet is made in units of a scale, a multiple of the mean bound so far; a row whose bound exceeds the scale
  is weighted down to it. The capital is the mean over several multiples: a mean of e-processes is one, and whether the
  differences are small and steady or large and rare, some multiple suits them.
- *Blocks.* Rows are averaged in blocks before they are bet on, which takes out autocorrelation.

Sources: Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*; Choe and Ramdas,
*Comparing sequential forecasters*.
"""

import hashlib
from typing import Literal

import numpy as np

from training.history import Days
from training.procedures import Floats

Metric = Literal["brier", "mae"]

_STAKE = 0.9
_MULTIPLES = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
_MOST = 1e12


def capital(differences: Floats, bounds: Floats, block: int) -> float:
    """What one unit has become by betting, block after block, that the differences are positive (at most 1e12).

    `bounds`: at least |difference| row by row, known before the label. Rows that do not fill a block wait.

    >>> capital(np.full(60, 0.5), np.ones(60), 1) > 1000 > 1 > capital(np.full(60, -0.5), np.ones(60), 1)
    True
    """
    blocks = len(differences) // block
    d, b = (values[: blocks * block].reshape(blocks, block) for values in (differences, bounds))
    before = np.concatenate([[0.0], np.cumsum(b.sum(axis=1))])[:-1]
    mean_bound = (before + b[:, 0]) / (np.arange(blocks) * block + 1)  # a block's first bound is known when it begins
    scale = (_MULTIPLES[:, None] * mean_bound)[:, :, None]
    weights = np.divide(scale, b, out=np.ones((len(_MULTIPLES), blocks, block)), where=b > scale)
    x = np.divide(weights * d, scale, out=np.zeros_like(weights), where=scale > 0).mean(axis=2)
    logs = np.log1p(_STAKE * np.clip(x, -1, 1)).sum(axis=1)
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
