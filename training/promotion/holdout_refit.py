"""Versions on rows that they have not learned: the one that had the title before, and the twin of one that asks for it.

A new version of the champion's contender has learned all rows there are, so nothing is left to judge it by. Its twin is
fitted as it was, but for the last rows, and is held against the version that serves on those.
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
    """The evidence that the newer version's twin does worse than the version that serves: at 1/alpha it is harm.

    Of the rows that only the newer one has learned, the later half is kept from the twin. Without at least two such
    rows there is no twin, and no evidence (1).
    """
    contender = make(task, newer.contender)
    if not isinstance(contender, Batch):
        return 1.0
    history = History.of(dataset)
    learned, served = history.labels_through(newer.trained_through), history.labels_through(serving.trained_through)
    begin = learned - (learned - served) // 2
    if begin >= learned:
        return 1.0
    window = task.contenders[newer.contender].window
    first = max(0, begin - window) if window else 0
    twin = contender.fit(history.labelled_rows[first:begin], history.labels[first:begin])
    rows, labels = history.labelled_rows[begin:learned], history.labels[begin:learned]
    said = [np.asarray(model.predict(rows), dtype=np.float64) for model in (twin, model_of(at, serving))]
    losses = [loss(task.metric, labels, values) for values in said]
    both = np.isfinite(losses[0]) & np.isfinite(losses[1])
    bounds = bound(task.metric, said[1], said[0])
    return Evidence(task.gate.block).after((losses[0] - losses[1])[both], bounds[both]).e_value


def track(at: JobContext, dataset: Dataset, version: Version, days: Days) -> Track:
    """What a fixed version says of the rows of these target dates, which it has not learned. NaN: the row is gone."""
    history = History.of(dataset)
    places = np.searchsorted(history.target_days, days)
    found = (places < len(history.target_days)) & (
        history.target_days[np.minimum(places, len(history.target_days) - 1)] == days
    )
    values = np.full(len(days), np.nan)
    if found.any():
        values[found] = model_of(at, version).predict(history.rows[places[found]])
    return Track(values, np.full(len(days), np.datetime64(version.trained_through, "D")))


def model_of(at: JobContext, version: Version) -> Model:
    """A version's model, from the copy in Postgres that was kept before it took an alias.

    Raises IntegrityError when the files are not what was trained, NotFoundError when there are none any more.
    """
    reconciler.keep_bundle(at, version)
    content = versions.bundle(at.engine, version.artifact_digest)
    assert content is not None, "it was kept above"  # noqa: S101
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        flavor.unpack(content, folder)
        return flavor.load_model(folder)
