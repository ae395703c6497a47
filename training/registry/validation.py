"""Checks that a version must pass before it serves, whatever its losses."""

from collections.abc import Sequence

import numpy as np

from core.config.tasks import Task
from features.arrays import Floats
from training.models.catalog import PROCEDURES
from training.registry.versions import Version

NOT_FINITE, OUT_OF_RANGE, CONSTANT = "not_finite", "out_of_range", "constant"
FEWER_ROWS, GOLDEN_BATCH = "fewer_rows", "golden_batch"
_FEW = 2


def failed_check(task: Task, version: Version, before: Version | None = None) -> str:
    """The check that a version fails by its predictions for its golden rows, or by what it was trained on.

    Args:
        task: whose contender made it.
        version: to be checked.
        before: the version of the same contender that it is to replace.

    Returns:
        A machine-readable reason; empty when it passes every check.
    """
    expected = np.array(version.golden["expected"], dtype=np.float64)
    if not (len(expected) and np.isfinite(expected).all()):
        return NOT_FINITE
    if task.is_classification and not ((expected >= 0) & (expected <= 1)).all():
        return OUT_OF_RANGE
    # Equal predictions for all rows: it has learned nothing from features, where it looks at any.
    if _looks_at_features(task, version) and len(expected) >= _FEW and (expected == expected[0]).all():
        return CONSTANT
    # History only grows, so fewer rows than before means that some were lost.
    return FEWER_ROWS if before is not None and version.rows_trained < before.rows_trained else ""


def _looks_at_features(task: Task, version: Version) -> bool:
    declared = task.contenders.get(version.contender)
    known = None if declared is None else PROCEDURES.get(declared.procedure)
    return version.kind != "baseline" and (known is None or known.looks_at_features)


def reproduces_golden_batch(version: Version, predicted: Sequence[float | None] | Floats) -> bool:
    """Whether a model that was read back predicts for its golden rows what it did when it was made.

    Args:
        version: with the golden rows and what was predicted for them then.
        predicted: for each golden row; None where there is no prediction.
    """
    now, then = (np.array(values, dtype=np.float64) for values in (predicted, version.golden["expected"]))
    # Not to the bit: another processor may sum in another order.
    return now.shape == then.shape and np.allclose(now, then, rtol=1e-6, atol=1e-9, equal_nan=True)
