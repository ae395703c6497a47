"""Single versions on rows that they were not trained on: the previous champion, and a holdout refit.

A new version of the champion's contender was trained on all rows, so none is left to judge it by. Its holdout refit is
fitted in the same way without the last rows, and is compared on those with the version that serves.
"""

import tempfile
from pathlib import Path

import numpy as np

from core.config.tasks import Task
from core.jobs.context import JobContext
from features.arrays import Days, History
from features.dataset import Dataset
from training.evaluation.e_values import Evidence, bound, loss
from training.evaluation.scoreboard import Track
from training.ledger import reconciler
from training.models.base import Model
from training.models.catalog import Batch, make
from training.registry import flavor, versions
from training.registry.versions import Version


def harm(at: JobContext, task: Task, dataset: Dataset, serving: Version, newer: Version) -> float:
    """Return the evidence that the newer version's holdout refit does worse than the serving one: 1/alpha is harm.

    Of the rows that only the newer version was trained on, the later half is held out. With fewer than two such rows
    there is no refit, and no evidence (1).
    """
    contender = make(task, newer.contender)
    if not isinstance(contender, Batch):
        return 1.0
    history = History.of(dataset)
    learned, served = history.labels_through(newer.trained_through), history.labels_through(serving.trained_through)
    # The refit keeps half of the new rows, so that it stays close to the version that it represents.
    begin = learned - (learned - served) // 2
    if begin >= learned:
        return 1.0
    window = task.contenders[newer.contender].window
    first = max(0, begin - window) if window else 0
    refit = contender.fit(history.labelled_rows[first:begin], history.labels[first:begin])
    rows, labels = history.labelled_rows[begin:learned], history.labels[begin:learned]
    predicted = [np.asarray(model.predict(rows), dtype=np.float64) for model in (refit, model_of(at, serving))]
    losses = [loss(task.metric, labels, values) for values in predicted]
    both = np.isfinite(losses[0]) & np.isfinite(losses[1])
    bounds = bound(task.metric, predicted[1], predicted[0])
    return Evidence(task.gate.block).after((losses[0] - losses[1])[both], bounds[both]).e_value


def track(at: JobContext, dataset: Dataset, version: Version, days: Days) -> Track:
    """Predict the rows of these target dates with a version that was not trained on them. NaN: the row is gone."""
    history = History.of(dataset)
    indices = np.searchsorted(history.target_days, days)
    found = (indices < len(history.target_days)) & (
        history.target_days[np.minimum(indices, len(history.target_days) - 1)] == days
    )
    values = np.full(len(days), np.nan)
    if found.any():
        values[found] = model_of(at, version).predict(history.rows[indices[found]])
    return Track(values, np.full(len(days), np.datetime64(version.trained_through, "D")))


def model_of(at: JobContext, version: Version) -> Model:
    """Load a version's model from the copy in Postgres, which is made where there is none yet.

    Raises:
        IntegrityError: the files are not what was trained.
        NotFoundError: there are no files any more.

    """
    # MLflow may be away or changed; the copy is checked against the digest that was stored when it was trained.
    reconciler.store_bundle(at, version)
    content = versions.bundle(at.engine, version.artifact_digest)
    assert content is not None, "it was kept above"  # noqa: S101
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        flavor.unpack(content, folder)
        return flavor.load_model(folder)
