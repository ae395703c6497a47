"""Naive promotion rules, applied to the losses of all contenders: pure functions, for the replay's report."""

import numpy as np
import numpy.typing as npt

from features.arrays import Floats

Holders = npt.NDArray[np.int64]
"""For each row the column of the contender that is champion."""

MARGIN, RECENT_ROWS = 0.01, 5


def lowest_mean_so_far(losses: Floats, begin: int) -> Holders:
    """For each row from `begin` on: the column whose mean is lowest over all rows before it.

    Args:
        losses: shape (rows, contenders), one row a target date.
        begin: at least 1, so that there is a row to choose by.

    >>> lowest_mean_so_far(np.array([[0.1, 0.2], [0.9, 0.2], [0.0, 0.0]]), 1)
    array([0, 1])
    """
    means = np.cumsum(losses, axis=0) / np.arange(1, len(losses) + 1)[:, None]
    best: Holders = means[begin - 1 : len(losses) - 1].argmin(axis=1)
    return best


def lower_on_the_last_rows(losses: Floats, begin: int, first: int) -> Holders:
    """For each row from `begin` on: the champion when the best of the last five rows replaces it by a margin of 0.01.

    While there are fewer than five rows, the champion stays.

    Args:
        losses: shape (rows, contenders), one row a target date.
        begin: the first row that gets a champion.
        first: the column of the champion to begin with.

    >>> lower_on_the_last_rows(np.array([[0.3, 0.2]] * 7), 4, 0)
    array([0, 1, 1])
    """
    holder, holders = first, []
    for row in range(begin, len(losses)):
        if row >= RECENT_ROWS:
            recent = losses[row - RECENT_ROWS : row].mean(axis=0)
            best = int(recent.argmin())
            holder = best if recent[best] <= recent[holder] - MARGIN else holder
        holders.append(holder)
    return np.array(holders, dtype=np.int64)


def losses_of(losses: Floats, begin: int, holders: Holders) -> Floats:
    """The loss of each row's champion, from row `begin` on."""
    return losses[np.arange(begin, len(losses)), holders]


def changes(holders: Holders) -> int:
    """How often the champion changed.

    >>> changes(np.array([0, 0, 1, 0]))
    2
    """
    return int((np.diff(holders) != 0).sum())
