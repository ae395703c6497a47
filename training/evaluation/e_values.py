"""The evidence that one contender's losses are smaller than another's: a betting e-process on paired differences.

The evidence is a capital that starts at 1 and is bet, in order of date, on the differences
d = loss(champion) - loss(challenger) being positive. While they are not, on average given what could be known before,
the capital exceeds 1/a with probability at most a, however often one looks (Ville's inequality).

- *Bounded, exactly.* For the Brier score |d| <= |p-q| max(p+q, 2-p-q), for absolute errors |d| <= |f-g|: both are known
  before the label, so nothing is guessed and no difference is clipped.
- *Scales.* A bet is made in units of a scale, a multiple of the mean bound so far; a row whose bound exceeds the scale
  is weighted down to it. The capital is a weighted mean over several multiples: such a mean of e-processes is one, and
  whether the differences are small and steady or large and rare, some multiple suits them. A multiple weighs as much as
  the bets in it are bold: the timid ones need thousands of rows in any case, and lose little by starting with less.
- *Runaways.* In that mean no bound counts for more than eight times the mean before it: one forecast that explodes
  would otherwise make every later bet tiny.
- *Blocks.* Rows are averaged in blocks before they are bet on, which takes out autocorrelation.
- *Kept as a few numbers* (`Evidence`), which are all that a bet knows of the past. Rows that are brought one by one
  leave the same numbers, to the bit, as rows that are brought at once.

Sources: Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*; Choe and Ramdas,
*Comparing sequential forecasters*; for several challengers Vovk and Wang, *E-values: calibration, combination and
applications*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from features.arrays import Floats

Metric = Literal["brier", "mae"]

# Names the arithmetic: evidence that another arithmetic began is begun again. Change it with any formula below.
PROCEDURE = "betting-2"

_STAKE = 0.9  # below 1, so that a single block cannot lose the whole capital
_MULTIPLES = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
_WEIGHTS = (1 / _MULTIPLES) / (1 / _MULTIPLES).sum()
_USUAL = 8.0  # how many times the mean bound a row may count for in the scale
_MOST = 1e12  # far beyond any 1/alpha, and far from an overflow
_NOTHING = (0.0,) * len(_MULTIPLES)


@dataclass(frozen=True)
class Evidence:
    """The result so far of betting on blocks of `block` rows.

    `rows` and `bound`: the number of rows in full blocks, and the sum of their bounds; `logs`: the logarithm of the
    capital at each multiple; `differences` and `bounds`: the rows of a block that is not full yet.
    """

    block: int
    rows: int = 0
    bound: float = 0.0
    logs: tuple[float, ...] = _NOTHING
    differences: tuple[float | None, ...] = ()
    bounds: tuple[float | None, ...] = ()

    @property
    def e_value(self) -> float:
        """The capital (at most 1e12)."""
        return float(_capital(np.array(self.logs)))

    def after(self, differences: Floats, bounds: Floats) -> "Evidence":
        """Add rows. `bounds`: at least |difference| each, known before the label.

        A row of NaN keeps its place in a block, and nothing is bet on it: so the blocks of several challengers end on
        the same rows, which the mean of their evidence requires.

        >>> by_one = Evidence(2)
        >>> for difference in (0.5, -0.25, 0.5):
        ...     by_one = by_one.after(np.array([difference]), np.ones(1))
        >>> by_one == Evidence(2).after(np.array([0.5, -0.25, 0.5]), np.ones(3))
        True
        """
        d = np.concatenate([np.array(self.differences, dtype=np.float64), differences])
        b = np.concatenate([np.array(self.bounds, dtype=np.float64), bounds])
        full = len(d) // self.block * self.block
        waiting = replace(self, differences=_jsonable(d[full:]), bounds=_jsonable(b[full:]))
        if not full:
            return waiting
        bets = _bet(d[:full], b[:full], self)
        return replace(
            waiting, rows=int(bets.rows), bound=float(bets.bound), logs=tuple(map(float, bets.logs[..., -1, :]))
        )


def path(differences: Floats, bounds: Floats, block: int) -> Floats:
    """Return the e-value after each full block, of shape (..., blocks), for rows of shape (..., n).

    >>> path(np.full(15, 0.5), np.ones(15), 5).round(2).tolist()
    [1.31, 1.74, 2.34]
    """
    return _capital(_bet(differences, bounds, Evidence(block)).logs)


def shared(e_values: Mapping[str, float]) -> dict[str, float]:
    """Return what each challenger's evidence is worth where several challenge one champion.

    It is the smallest mean over any set of the challengers that it belongs to (closed testing with averaged e-values,
    Vovk and Wang). A challenger that becomes champion at 1/alpha of this is no better than the champion with
    probability at most alpha, whichever of the others are better and however they depend on each other. It is never
    less than 1/n of the evidence, which is what dividing alpha by n amounts to. Every challenger of the tenure counts,
    with the evidence it had last: one that leaves because it does badly has spent its share.

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
    """Return the loss of each row: squared error of a probability, or absolute error."""
    return (labels - values) ** 2 if metric == "brier" else np.abs(labels - values)


def bound(metric: Metric, p: Floats, q: Floats) -> Floats:
    """Return the most by which the losses of two predictions can differ, whatever the label turns out to be."""
    return np.abs(p - q) * (np.maximum(p + q, 2 - p - q) if metric == "brier" else 1.0)


@dataclass(frozen=True)
class _Bets:
    """`rows` and `bound` as in Evidence, of shape (...); `logs` after each block, (..., blocks, multiples)."""

    rows: npt.NDArray[np.int64]
    bound: Floats
    logs: Floats


def _bet(differences: Floats, bounds: Floats, before: Evidence) -> _Bets:
    """Bet on full blocks, (..., n) rows, one block after the other, given the result of those before."""
    *batch, n = differences.shape
    shape = (*batch, n // before.block, before.block)
    d, b = (values[..., : shape[-2] * shape[-1]].reshape(shape) for values in (differences, bounds))
    rows, bound = np.full(batch, before.rows), np.full(batch, before.bound)
    logs = [np.broadcast_to(np.array(before.logs), (*batch, len(_MULTIPLES)))]
    for k in range(shape[-2]):
        is_met = np.isfinite(b[..., k, :])
        usual = np.divide(bound, rows, out=np.full(batch, np.inf), where=bound > 0)
        counted = np.where(is_met, np.minimum(b[..., k, :], _USUAL * usual[..., None]), 0.0)
        first = np.take_along_axis(counted, is_met.argmax(axis=-1)[..., None], axis=-1)[..., 0]
        # The scale uses the first bound of the block only: bounds are known before labels, but the later rows of a
        # block are not known when its first is bet on.
        scale = (_MULTIPLES * ((bound + first) / (rows + 1))[..., None])[..., None]
        x = _stakes(np.where(is_met, d[..., k, :], 0.0)[..., None, :], np.where(is_met, b[..., k, :], 0.0), scale)
        logs.append(logs[-1] + np.log1p(_STAKE * np.clip(x.mean(axis=-1), -1, 1)))
        rows, bound = rows + is_met.sum(axis=-1), bound + counted.sum(axis=-1)
    return _Bets(rows, bound, np.stack(logs[1:], axis=-2) if len(logs) > 1 else np.empty((*batch, 0, len(_MULTIPLES))))


def _stakes(d: Floats, b: Floats, scale: Floats) -> Floats:
    """Return the differences in units of the scale, those of a larger bound weighted down to it."""
    size = np.maximum(np.broadcast_to(b[..., None, :], np.broadcast_shapes(scale.shape, b[..., None, :].shape)), scale)
    return np.divide(np.broadcast_to(d, size.shape), size, out=np.zeros_like(size), where=size > 0)


def _jsonable(values: Floats) -> tuple[float | None, ...]:
    return tuple(value if np.isfinite(value) else None for value in values.tolist())


def _capital(logs: Floats) -> Floats:
    """Return the weighted mean over the multiples, which are the last axis."""
    capital: Floats = np.minimum((np.exp(np.minimum(logs, np.log(_MOST))) * _WEIGHTS).sum(axis=-1), _MOST)
    return capital
