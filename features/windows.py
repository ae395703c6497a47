"""The lags of a value: those that came before it, newest first, as many as there are."""

from collections.abc import Sequence

MOST_LAGS = 1000
"""The newest values that are kept of a series, however few lags are asked for now."""


def lags(before: Sequence[float], n_lags: int) -> dict[str, float]:
    """The features of a value: `in_1` is the one just before it, up to `in_<n_lags>`. `before`: newest last.

    >>> lags([112.0, 118.0, 132.0], 2)
    {'in_1': 132.0, 'in_2': 118.0}
    >>> lags([], 2)
    {}
    """
    return {f"in_{number}": before[-number] for number in range(1, min(n_lags, len(before)) + 1)}
