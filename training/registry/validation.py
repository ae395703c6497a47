"""What keeps a version from serving, whatever its losses: told as a machine-readable reason, empty for nothing."""

from collections.abc import Sequence

import numpy as np

from core.config.tasks import Task
from features.arrays import Floats
from training.models.catalog import PROCEDURES
from training.registry.versions import Version

NOT_FINITE, OUT_OF_RANGE, CONSTANT = "not_finite", "out_of_range", "constant"
FEWER_ROWS, GOLDEN_BATCH = "fewer_rows", "golden_batch"
_FEW = 2


def fault(task: Task, version: Version, before: Version | None = None) -> str:
    """What is wrong with what a version said of its golden rows, or with what it was trained on.

    A probability outside 0 to 1 and a number that is not finite cannot be served. A model that says the same of all
    rows has learned nothing of them; a baseline may, and one that looks at no features. `before`, of the same
    contender: a version that was trained on fewer rows than the one it follows has lost some.
    """
    expected = np.array(version.golden["expected"], dtype=np.float64)
    if not (len(expected) and np.isfinite(expected).all()):
        return NOT_FINITE
    if task.is_classification and not ((expected >= 0) & (expected <= 1)).all():
        return OUT_OF_RANGE
    if _looks_at_features(task, version) and len(expected) >= _FEW and (expected == expected[0]).all():
        return CONSTANT
    return FEWER_ROWS if before is not None and version.rows_trained < before.rows_trained else ""


def _looks_at_features(task: Task, version: Version) -> bool:
    declared = task.contenders.get(version.contender)
    known = None if declared is None else PROCEDURES.get(declared.procedure)
    return version.kind != "baseline" and (known is None or known.looks_at_features)


def repeats_itself(version: Version, said: Sequence[float | None] | Floats) -> bool:
    """Whether a model that was read back says of the golden rows what it said when it was made (None: nothing)."""
    told, expected = (np.array(values, dtype=np.float64) for values in (said, version.golden["expected"]))
    return told.shape == expected.shape and np.allclose(told, expected, rtol=1e-6, atol=1e-9, equal_nan=True)
