"""From walks to versions: which models are new, and how each becomes an MLflow run, a version, and a row of ours.

A step that was cut off is found and gone on with: a run that is still open, by its key; a version that MLflow has and
Postgres has not, by its tags and by the digest of the same folder made again. So a version exists once, or not yet.
"""

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from core.config.settings import Settings
from core.config.tasks import Task
from core.fingerprint import code_version
from core.jobs.context import JobContext
from features.arrays import Floats
from training.backtest.walk_forward import Walk
from training.evaluation import predictions
from training.models.base import Model
from training.registry import client as registry
from training.registry import flavor, restore, run_content, versions
from training.registry.client import Registered
from training.registry.tracking import MODEL, PICTURES, Logged, Record, Tracking
from training.registry.training_session import TrainingSession
from training.registry.versions import Version

if TYPE_CHECKING:
    from features.dataset import Dataset

_UPLOADS_AT_ONCE = 4
_GOLDEN_ROWS = 8
_EXAMPLE_ROWS = 3
_UNNUMBERED = 0


def register(
    at: JobContext, task: Task, dataset: "Dataset", walks: Mapping[str, Walk], memory: TrainingSession | None = None
) -> tuple[Version, ...]:
    """Registers the model of each walk that has learned more than the contender's newest version.

    With a `memory`, which a replay has, only those that it says, without pictures and the course of the metrics.
    Raises RegistryUnreachableError when MLflow does not answer: what is registered by then stays, the rest is
    registered by the next run.
    """
    newest = memory.newest if memory is not None else versions.newest_of_all(at.engine, task, dataset.series)
    due = [name for name, walk in walks.items() if _is_due(task, newest.get(name), name, walk, memory)]
    if not due:
        return ()
    restore.ensure_model(at, task.name, task.title)
    orphans = registry.versions_above(at.settings, task.name, versions.highest(at.engine, task.name))
    tracking = Tracking.open(at.settings, task, dataset)
    scored = predictions.scored(task, predictions.scoreboard(at.engine, task, dataset.series, dataset.as_of))
    shown = run_content.BRIEF if memory is not None else run_content.FULL
    with _workshop() as (folder, pool):
        begun: list[tuple[Version, Record, Future[Logged] | Registered]] = []
        for name in due:
            version, record = _prepare(at.settings, task, dataset, name, walks[name], scored, shown, folder / name)
            orphan = next((one for one in orphans if _is_same(version, one)), None)
            begun.append((version, record, orphan or pool.submit(tracking.log, record)))
        registered = tuple(_complete(at, tracking, *step) for step in begun)
    if memory is not None:
        memory.newest |= {version.contender: version for version in registered}
    return registered


def _is_due(task: Task, newest: Version | None, name: str, walk: Walk, memory: TrainingSession | None) -> bool:
    if walk.model is None or walk.trained_through is None:
        return False
    if newest is not None and newest.trained_through >= walk.trained_through:
        return False
    return memory is None or memory.wants_registered(task, name, walk.rows_trained)


def _prepare(
    settings: Settings,
    task: Task,
    dataset: "Dataset",
    name: str,
    walk: Walk,
    scored: pl.DataFrame,
    shown: run_content.RunContent,
    folder: Path,
) -> tuple[Version, Record]:
    """Writes the model and the pictures into `folder`, and says what the version and its run will be."""
    assert walk.model is not None, name  # noqa: S101 (_is_due)
    assert walk.trained_through is not None, name  # noqa: S101
    rows = dataset.table.select(dataset.feature_names).tail(_GOLDEN_ROWS).to_numpy()
    digest = flavor.save(
        walk.model, folder / MODEL, dataset.feature_names, rows[-_EXAMPLE_ROWS:], created=walk.trained_through
    )
    version = Version(
        task=task.name,
        version=_UNNUMBERED,
        contender=name,
        contender_hash=task.contender_hash(name),
        kind=task.contenders[name].kind,
        series=dataset.series,
        trained_through=walk.trained_through,
        rows_trained=walk.rows_trained,
        data_hash=dataset.data_hash,
        artifact_digest=digest,
        code_version=code_version(settings.code_version),
        run_id="",
        golden=_golden(walk.model, rows),
    )
    if shown.pictures:
        run_content.draw(task, dataset, name, scored, folder / PICTURES)
    record = Record(
        key="/".join(version.identity.values()),
        name=f"{name} {walk.trained_through}",
        description=_description(version),
        tags=version.tags,
        params=run_content.params(task, dataset, version),
        metrics=run_content.metrics(task, name, scored, shown.points),
        folder=folder,
    )
    return version, record


def _complete(
    at: JobContext, tracking: Tracking, version: Version, record: Record, begun: Future[Logged] | Registered
) -> Version:
    """Gives the version its number in MLflow, closes its run, and records it, last of all, in Postgres."""
    if isinstance(begun, Registered):
        number, run_id = begun.version, begun.run_id
    else:
        logged = begun.result()
        run_id = logged.run_id
        number = registry.create_version(
            at.settings,
            version.task,
            source=logged.source,
            run_id=run_id,
            tags=record.tags,
            description=record.description,
        )
    tracking.finish(run_id)
    numbered = replace(version, version=number, run_id=run_id)
    with at.writing() as connection:
        versions.record(connection, numbered)
    return numbered


def _golden(model: Model, rows: Floats) -> dict[str, list[object]]:
    expected = [float(value) if np.isfinite(value) else None for value in model.predict(rows)]
    return {"rows": rows.tolist(), "expected": expected}


def _is_same(version: Version, orphan: Registered) -> bool:
    """Whether an unrecorded version is this one: the same model by its tags, the same folder by our own digest."""
    expected = version.identity | {"artifact_digest": version.artifact_digest}
    return expected.items() <= dict(orphan.tags).items()


def _description(version: Version) -> str:
    return (
        f"{version.contender} ({version.kind}), trained on {version.rows_trained:,} rows of {version.series} "
        f"through {version.trained_through}"
    )


@contextmanager
def _workshop() -> Iterator[tuple[Path, ThreadPoolExecutor]]:
    with tempfile.TemporaryDirectory(prefix="contender-") as scratch, ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        yield Path(scratch), pool
