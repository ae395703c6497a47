"""The model folder of a contender that learned rows as they were sent, whatever features they had.

    frame = pandas.DataFrame([{"in_1": 135.0, "in_2": 130.0}])
    mlflow.pyfunc.load_model("models:/live@champion").predict(frame)   # the value or P(1), one number a row

A column is a feature, under the name by which it was sent; a cell without a number (NaN) is a feature that the row does
not have. A column `series_id` with texts names each row's series. NaN is said where there is no prediction yet.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.arrays import FeatureRow, Floats
from training.models.base import deserialize
from training.models.online import DEFAULT_SERIES, Online

if TYPE_CHECKING:
    import pandas as pd

SERIES = "series_id"


class ServedRows:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, model: Online) -> None:
        self.model = model

    def predict(self, frame: "pd.DataFrame", params: dict[str, object] | None = None) -> Floats:  # noqa: ARG002
        """The value or P(1) of each row."""
        said = (self.model.predict(*_row(cells)) for cells in frame.to_dict("records"))
        return np.array([math.nan if value is None else value for value in said], dtype=np.float64)


def _load_pyfunc(path: str) -> ServedRows:
    """Called by MLflow with the path of the pickle."""
    return ServedRows(deserialize(Path(path).read_bytes()))


def _row(cells: dict[Any, Any]) -> tuple[FeatureRow, str]:
    """The features that a row has, and its series.

    >>> _row({"in_1": 1, "in_2": float("nan"), "series_id": "airline"})
    ({'in_1': 1.0}, 'airline')
    """
    held = dict(cells)
    series = held.pop(SERIES) if isinstance(held.get(SERIES), str) else DEFAULT_SERIES
    numbers = {str(name): math.nan if value is None else float(value) for name, value in held.items()}
    return {name: value for name, value in numbers.items() if not math.isnan(value)}, series
