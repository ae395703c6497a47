"""The evidence that one contender's losses are smaller than another's: a betting e-process on paired differences.

The evidence is the capital of one who starts with 1 and bets, in order of date, that the differences
d = loss(champion) - loss(challenger) are positive. While they are not, on average over what could be known before,
that capital exceeds 1/a with probability at most a, however often one looks (Ville's inequality).

- *Bounded, exactly.* For the Brier score |d| <= |p-q| max(p+q, 2-p-q), for absolute errors |d| <= |f-g|: both are known
  before the label, so nothing is guessed and no difference is clipped.
- *Scales.* A bet is made in units of a scale, a multiple of the mean bound so far; a row whose bound exceeds the scale
  is weighted down to it. The capital is a weighted mean over several multiples: such a mean of e-processes is one, and
  whether the differences are small and steady or large and rare, some multiple suits them. A multiple weighs as much as
  the bets in it are bold: the timid ones need thousands of rows in any case, and lose little by starting with less.
- *Blocks.* Rows are averaged in blocks before they are bet on, which takes out autocorrelation.
- *Carried on.* What a bet knows of the past is a few numbers (`Evidence`). Rows that are brought one by one leave the
  same numbers, to the bit, as rows that are brought at once.

Sources: Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*; Choe and Ramdas,
*Comparing sequential forecasters*; for several challengers Vovk and Wang, *E-values: calibration, combination and
applications*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from training.procedures import Floats

Metric = Literal["brier", "mae"]

PROCEDURE = "betting-2"
"""Names the arithmetic: evidence that another one began is not gone on with."""

_STAKE = 0.9
_MULTIPLES = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
_WEIGHTS = (1 / _MULTIPLES) / (1 / _MULTIPLES).sum()
_MOST = 1e12
_NOTHING = (0.0,) * len(_MULTIPLES)


@dataclass(frozen=True)
class Evidence:
    """What has come of betting on blocks of `block` rows.

    `rows` and `bound`: how many rows full blocks hold, and the sum of their bounds; `logs`: the logarithm of the
    capital at each multiple; `differences` and `bounds`: the rows that wait for their block to be full.
    """

    block: int
    rows: int = 0
    bound: float = 0.0
    logs: tuple[float, ...] = _NOTHING
    differences: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def e_value(self) -> float:
        """The capital (at most 1e12)."""
        return float(_capital(np.array(self.logs)))

    def after(self, differences: Floats, bounds: Floats) -> "Evidence":
        """The same with these rows as well. `bounds`: at least |difference| each, known before the label.

        >>> by_one = Evidence(2)
        >>> for difference in (0.5, -0.25, 0.5):
        ...     by_one = by_one.after(np.array([difference]), np.ones(1))
        >>> by_one == Evidence(2).after(np.array([0.5, -0.25, 0.5]), np.ones(3))
        True
        """
        d, b = np.concatenate([self.differences, differences]), np.concatenate([self.bounds, bounds])
        full = len(d) // self.block * self.block
        waiting = replace(self, differences=tuple(d[full:].tolist()), bounds=tuple(b[full:].tolist()))
        if not full:
            return waiting
        totals, logs = _bet(d[:full], b[:full], self)
        return replace(
            waiting, rows=self.rows + full, bound=float(totals[-1]), logs=tuple(float(last) for last in logs[:, -1])
        )


def path(differences: Floats, bounds: Floats, block: int) -> Floats:
    """The e-value after each full block: (..., blocks), for rows of shape (..., n).

    >>> path(np.full(15, 0.5), np.ones(15), 5).round(2).tolist()
    [1.31, 1.74, 2.34]
    """
    _, logs = _bet(differences, bounds, Evidence(block))
    return _capital(np.moveaxis(logs, -2, -1))


def shared(e_values: Mapping[str, float]) -> dict[str, float]:
    """What each challenger's evidence is worth where several stand for one title.

    It is the smallest mean over any set of the challengers that it belongs to (closed testing with averaged e-values).
    Who is crowned at 1/alpha of this is no better than the champion with probability at most alpha, whichever of the
    others are better and whichever are not, and however they depend on each other. It is never less than 1/n of the
    evidence, which is what dividing alpha by n amounts to.

    >>> shared({"a": 60.0, "b": 1.0, "c": 0.0})
    {'a': 20.333333333333332, 'b': 0.5, 'c': 0.0}
    """
    worth = {}
    for name, own in e_values.items():
        total, least = own, own
        for count, other in enumerate(sorted(value for rival, value in e_values.items() if rival != name), 2):
            total += other
            least = min(least, total / count)
        worth[name] = least
    return worth


def loss(metric: Metric, labels: Floats, values: Floats) -> Floats:
    """The loss of each row: squared error of a probability, or absolute error."""
    return (labels - values) ** 2 if metric == "brier" else np.abs(labels - values)


def bound(metric: Metric, p: Floats, q: Floats) -> Floats:
    """The most by which the losses of two predictions can differ, whatever the label turns out to be."""
    return np.abs(p - q) * (np.maximum(p + q, 2 - p - q) if metric == "brier" else 1.0)


def _bet(differences: Floats, bounds: Floats, before: Evidence) -> tuple[Floats, Floats]:
    """Bets on full blocks, given what came of those before: the sum of the bounds after each block, and the logarithms.

    Shapes: (..., blocks) and (..., multiples, blocks).
    """
    block = before.block
    blocks = differences.shape[-1] // block
    d, b = (
        values[..., : blocks * block].reshape(*values.shape[:-1], blocks, block) for values in (differences, bounds)
    )
    totals = _added_up(before.bound, b.sum(axis=-1))
    rows = before.rows + np.arange(blocks) * block
    mean_bound = (totals[..., :-1] + b[..., 0]) / (rows + 1)  # a block's first bound is known when it begins
    scale = (_MULTIPLES[:, None] * mean_bound[..., None, :])[..., None]
    d, b = d[..., None, :, :], b[..., None, :, :]
    weights = np.divide(scale, b, out=np.ones(np.broadcast_shapes(scale.shape, b.shape)), where=b > scale)
    x = np.divide(weights * d, scale, out=np.zeros_like(weights), where=scale > 0).mean(axis=-1)
    steps = np.log1p(_STAKE * np.clip(x, -1, 1))
    return totals[..., 1:], _added_up(np.array(before.logs)[:, None], steps)[..., 1:]


def _added_up(start: Floats | float, steps: Floats) -> Floats:
    """The start, then the sum after each step, one after the other: so pieces give what the whole does."""
    first = np.broadcast_to(start, (*steps.shape[:-1], 1))
    return np.cumsum(np.concatenate([first, steps], axis=-1), axis=-1)


def _capital(logs: Floats) -> Floats:
    """The weighted mean over the multiples, which are the last axis."""
    capital: Floats = np.minimum((np.exp(np.minimum(logs, np.log(_MOST))) * _WEIGHTS).sum(axis=-1), _MOST)
    return capital
