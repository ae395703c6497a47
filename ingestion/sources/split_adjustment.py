"""From prices that were adjusted for later splits back to what was paid on the day.

Yahoo divides every price and dividend before a split by its ratio, and multiplies volumes: a 2:1 split rewrites all of
history. What we store is the raw history, which no later split changes.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import isfinite, log

from core.errors import DataRefusedError
from ingestion.sources.base import PRICES, RawRow

_SMALLEST_DETECTABLE = 1.4


def undo(rows: Sequence[RawRow]) -> list[RawRow]:
    """Raw rows from split-adjusted ones, in order of time; each row's `split` is the ratio of its own day.

    The rows must reach to the source's present, so that every split that was applied to them is among them.
    A dividend is per share as of its day: it is multiplied by the splits after it, not by one on its own day.
    Raises DataRefusedError when a split is listed that was not applied to the prices before it.
    """
    _require_applied(rows)
    raw: list[RawRow] = []
    later = 1.0
    for row in reversed(rows):
        fields = dict(row.fields)
        for name in (*PRICES, "dividend"):
            fields[name] *= later
        fields["volume"] /= later
        raw.append(replace(row, fields=fields))
        if isfinite(row.fields["split"]) and row.fields["split"] > 0:
            later *= row.fields["split"]
    raw.reverse()
    return raw


def _require_applied(rows: Sequence[RawRow]) -> None:
    """Refuses a split across which the adjusted price falls by about its ratio: it should not move at all.

    Small ratios (a stock dividend of a few per cent) are within a day's ordinary move and cannot be detected.
    """
    priced = [row for row in rows if isfinite(row.fields["close"]) and row.fields["close"] > 0]
    for before, row in pairwise(priced):
        split = row.fields["split"]
        if not isfinite(split) or split <= 0 or abs(log(split)) < log(_SMALLEST_DETECTABLE):
            continue
        move = log(row.fields["close"] / before.fields["close"])
        if abs(move + log(split)) < abs(move):
            raise DataRefusedError(
                f"A {split:g}:1 split is listed on {row.stamp}, but the prices before it were not adjusted for it.",
                "Nothing of this answer is stored; a source usually mends this within a day or two.",
            )
