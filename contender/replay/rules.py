"""What naive rules of promotion would have served, from the losses of all contenders: pure, for the replay's report."""

import numpy as np
import numpy.typing as npt

from features.arrays import Floats

Holders = npt.NDArray[np.int64]

MARGIN, RECENT_ROWS = 0.01, 5


def lowest_mean_so_far(losses: Floats, begin: int) -> Holders:
    """Of each row from `begin` on: the column whose mean is lowest over all rows before it.

    `losses`: one row a date, one column a contender. At least one row lies before `begin`.

    >>> lowest_mean_so_far(np.array([[0.1, 0.2], [0.9, 0.2], [0.0, 0.0]]), 1)
    array([0, 1])
    """
    means = np.cumsum(losses, axis=0) / np.arange(1, len(losses) + 1)[:, None]
    best: Holders = means[begin - 1 : len(losses) - 1].argmin(axis=1)
    return best


def lower_on_the_last_rows(losses: Floats, begin: int, first: int) -> Holders:
    """Of each row from `begin` on: who holds the title when the best of the last five rows takes it by a margin.

    `first` holds it to begin with. The title goes to the lowest mean of the last five rows when it is lower than the
    holder's by 0.01; while fewer than five rows have been, it stays.

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
    """The loss, row by row from `begin` on, of whom each row's holder is."""
    return losses[np.arange(begin, len(losses)), holders]


def changes(holders: Holders) -> int:
    """How often the title changed hands.

    >>> changes(np.array([0, 0, 1, 0]))
    2
    """
    return int((np.diff(holders) != 0).sum())
