"""A dataset as plain arrays, the input of a walk-forward backtest."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from core.errors import DataRefusedError

if TYPE_CHECKING:
    from features.dataset import Dataset

Days = npt.NDArray[np.datetime64]
Floats = npt.NDArray[np.float64]
"""Rows: shape (n, features), in the task's order of features. Labels and predictions: shape (n,)."""
FeatureRow = dict[str, float]
"""One row: the value of each feature by its name."""


@dataclass(frozen=True, eq=False)
class History:
    """Rows in the order of their target dates, and again those among them whose label is known."""

    feature_names: tuple[str, ...]
    event_days: Days
    target_days: Days
    rows: Floats
    labelled_days: Days
    labelled_rows: Floats
    labels: Floats

    @classmethod
    def of(cls, dataset: "Dataset") -> "History":
        """Reads a dataset's table. Raises DataRefusedError when rows are out of order, or values not finite."""
        table = dataset.table
        target_days = table.get_column("target_date").to_numpy().astype("datetime64[D]")
        rows = np.ascontiguousarray(table.select(dataset.feature_names).to_numpy(), dtype=np.float64)
        labelled = np.flatnonzero(table.get_column("label").is_not_null().to_numpy())
        labels = table.get_column("label").drop_nulls().to_numpy().astype(np.float64)
        in_order = (np.diff(target_days) > np.timedelta64(0, "D")).all()
        if not (in_order and np.isfinite(rows).all() and np.isfinite(labels).all()):
            raise DataRefusedError(
                f"The dataset of {dataset.task!r} on {dataset.series!r} cannot be used: its rows are out of order or "
                "hold values that are not finite.",
                "Run the features job again; if it stays, look at the quarantine and the source.",
            )
        event_days = table.get_column("event_date").to_numpy().astype("datetime64[D]")
        days = event_days, target_days
        return cls(dataset.feature_names, *days, rows, target_days[labelled], rows[labelled], labels)

    def named(self, rows: Floats) -> list[FeatureRow]:
        """Rows as events have them: each value by its feature's name."""
        return [dict(zip(self.feature_names, row, strict=True)) for row in rows.tolist()]

    def labels_known_on(self, days: Days) -> npt.NDArray[np.int64]:
        """Of each day: how many labels have a target date up to it."""
        return np.searchsorted(self.labelled_days, days, side="right")

    def labels_through(self, last: date | None) -> int:
        """How many labels have a target date up to `last`; none when it is None."""
        return 0 if last is None else int(self.labels_known_on(_days(last))[0])

    def rows_through(self, last: date | None) -> int:
        """How many rows have a target date up to `last`; none when it is None."""
        return 0 if last is None else int(np.searchsorted(self.target_days, _days(last), side="right")[0])

    def rows_begun_by(self, last: date | None) -> int:
        """How many rows have an event date up to `last`; none when it is None."""
        return 0 if last is None else int(np.searchsorted(self.event_days, _days(last), side="right")[0])

    def last_target(self) -> date | None:
        """The target date of the last row; None when there is none."""
        return self.target_days[-1].item() if len(self.target_days) else None

    def learned_through(self, labels: int) -> date:
        """The target date of the last of so many labels."""
        day: date = self.labelled_days[labels - 1].item()
        return day


def _days(day: date) -> Days:
    return np.array([day], dtype="datetime64[D]")
