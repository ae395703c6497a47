"""The grid of refits: which model of a batch contender predicts which rows, and what each of them is fitted on."""

from dataclasses import dataclass

import numpy as np

from core.config.tasks import Contender
from features.arrays import Floats, History
from training.models.base import Batch, serialize


@dataclass(frozen=True)
class Refit:
    """One model: fitted on the labelled rows from `first` up to `last` (excluded), it predicts rows `begin` to `end`.

    `grid` counts the labels ever seen by then, and names the refit whatever part of the history is at hand.
    """

    grid: int
    first: int
    last: int
    begin: int
    end: int
    keep: bool


@dataclass(frozen=True, eq=False)
class Refitted:
    """What a refit gave: its predictions, and the model's bytes where it is to be kept."""

    values: Floats
    model: bytes | None


def grid_at(contender: Contender, labels: int) -> int | None:
    """The newest point of the grid when so many labels are known; None before the first fit.

    >>> contender = Contender(kind="batch", procedure="ridge", first_fit=20, refit_every=10)
    >>> [grid_at(contender, labels) for labels in (19, 20, 29, 30)]
    [None, 20, 20, 30]
    """
    if labels < contender.first_fit:
        return None
    return labels - (labels - contender.first_fit) % contender.refit_every


def refit(contender: Batch, history: History, plan: Refit) -> Refitted:
    """Fits one model of the grid and predicts with it."""
    model = contender.fit(history.labelled_rows[plan.first : plan.last], history.labels[plan.first : plan.last])
    values = model.predict(history.rows[plan.begin : plan.end]) if plan.end > plan.begin else np.empty(0)
    return Refitted(values, serialize(model) if plan.keep else None)
