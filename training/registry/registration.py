"""From what a contender has learned to a version: a run in MLflow, a registered version, then a row in Postgres.

A job can be killed between any two of these steps, and the next one goes on: a run that is still open is found by its
key, a version that MLflow has and Postgres has not by its tags, among them the digest of the same folder made again.
So there is one version of a model, or none yet.
"""

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import sqlalchemy as sa

from core.config.pushed_tasks import PushedTask
from core.config.tasks import Task, digest
from core.db.engine import fetch_all
from core.db.event_tables import events
from core.fingerprint import code_version, environment_fingerprint
from core.jobs.context import JobContext
from training.backtest.walk_forward import Walk
from training.evaluation import predictions
from training.learners import checkpoints
from training.learners.checkpoints import LEARNER_CODE
from training.learners.factory import pushed_learner_factory
from training.learners.learner import Learner
from training.learners.outbox import PendingRegistration
from training.models.online import DEFAULT_SERIES
from training.registry import flavor, restore, run_content, versions
from training.registry.base import MODEL, PICTURES, LoggedRun, ModelRegistry, RegisteredVersion, RunRecord, RunTracker
from training.registry.factory import open_registry, open_tracker
from training.registry.training_session import TrainingSession
from training.registry.versions import Version

if TYPE_CHECKING:
    from features.dataset import Dataset

_UPLOADS_AT_ONCE = 4
_GOLDEN_ROWS = 8
_EXAMPLE_ROWS = 3
_UNNUMBERED = 0


@dataclass(frozen=True)
class Candidate:
    """A model that is to become a version.

    `version` has no number and no run yet. `identity` are the tags that no two versions in MLflow have in common.
    """

    version: Version
    identity: Mapping[str, str]
    record: RunRecord


class CandidateSource(Protocol):
    """Where the candidates of a registration come from. `dataset`: the input of their runs, where they have one."""

    @property
    def dataset(self) -> "Dataset | None": ...

    def candidates(self, at: JobContext, folder: Path) -> Iterator[Candidate]:
        """Each candidate, after the files of its run were written below `folder`."""


def register_walks(
    at: JobContext, task: Task, dataset: "Dataset", walks: Mapping[str, Walk], session: TrainingSession | None = None
) -> tuple[Version, ...]:
    """Registers the model of each walk that has learned more than the contender's newest version.

    Args:
        at: the job.
        task: whose contenders were walked.
        dataset: over which they were walked.
        walks: by contender.
        session: of a replay: only the contenders that it names are registered, without pictures and with two points
            of each metric instead of its course.

    Raises:
        RegistryUnreachableError: MLflow does not answer. What is registered by then stays, the rest is registered by
            the next run.
    """
    newest = session.newest if session is not None else versions.newest_of_all(at.engine, task, dataset.series)
    due = {name: walk for name, walk in walks.items() if _is_due(task, newest.get(name), name, walk, session)}
    if not due:
        return ()
    content = run_content.FULL if session is None else run_content.BRIEF
    registered = register(at, task, WalkSource(task, dataset, due, content))
    if session is not None:
        session.newest |= {version.contender: version for version in registered}
    return registered


def register_checkpoint(at: JobContext, task: PushedTask, request: PendingRegistration) -> Version:
    """The version of a checkpoint, which is made unless it was.

    Raises:
        RegistryUnreachableError: MLflow does not answer.
        ConfigurationError, IntegrityError, NotFoundError: the checkpoint cannot be used.
    """
    key = request.key
    made = versions.made(at.engine, task.name, key.log, key.contender, key.contender_hash, request.session_date)
    if made is not None:
        return made
    learner = checkpoints.at(at.engine, key, request.last_seq, pushed_learner_factory(task, key))
    (version,) = register(at, task, CheckpointSource(task, request, learner))
    return version


def register(at: JobContext, task: Task | PushedTask, source: CandidateSource) -> tuple[Version, ...]:
    """Registers every candidate of a source. Raises RegistryUnreachableError, and as `restore.ensure_model`."""
    restore.ensure_model(at, task.name, task.title)
    registry = open_registry(at.settings)
    # Numbers that Postgres has not seen: versions of jobs that were killed before they recorded them.
    orphans = registry.versions_above(task.name, versions.highest(at.engine, task.name))
    tracker = open_tracker(at.settings, task.name, source.dataset)
    with tempfile.TemporaryDirectory(prefix="contender-") as scratch, ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        begun: list[tuple[Candidate, Future[LoggedRun] | RegisteredVersion]] = []
        for candidate in source.candidates(at, Path(scratch)):
            orphan = next((one for one in orphans if candidate.identity.items() <= dict(one.tags).items()), None)
            # Uploads wait for the network; meanwhile the next candidate's files are written.
            begun.append((candidate, orphan or pool.submit(tracker.log, candidate.record)))
        # One after another, for the numbers are to follow the order of the candidates.
        return tuple(_complete(at, registry, tracker, *step) for step in begun)


def _complete(
    at: JobContext,
    registry: ModelRegistry,
    tracker: RunTracker,
    candidate: Candidate,
    begun: Future[LoggedRun] | RegisteredVersion,
) -> Version:
    """Gives a candidate its number in MLflow, closes its run, and records it, last of all, in Postgres."""
    record = candidate.record
    if isinstance(begun, RegisteredVersion):
        number, run_id = begun.version, begun.run_id
    else:
        run = begun.result()
        run_id = run.run_id
        number = registry.create_version(
            candidate.version.task,
            source=run.source,
            run_id=run_id,
            tags=record.tags,
            description=record.description,
        )
    # After the version: a job that is killed before finds the open run by its key and goes on with it.
    tracker.finish(run_id)
    numbered = replace(candidate.version, version=number, run_id=run_id)
    # Last: a version that MLflow has and Postgres has not is found by its tags, and completed.
    with at.writing() as connection:
        versions.record(connection, numbered)
    return numbered


@dataclass(frozen=True)
class WalkSource:
    """The models with which walks over a dataset ended."""

    task: Task
    dataset: "Dataset"
    walks: Mapping[str, Walk]
    content: run_content.RunContent

    def candidates(self, at: JobContext, folder: Path) -> Iterator[Candidate]:
        task, dataset = self.task, self.dataset
        scored = predictions.scored(task, predictions.scoreboard(at.engine, task, dataset.series, dataset.as_of))
        for name, walk in self.walks.items():
            version = self._version(at, name, walk, folder / name / MODEL)
            if self.content.pictures:
                run_content.draw(task, dataset, name, scored, folder / name / PICTURES)
            record = RunRecord(
                key="/".join(version.identity.values()),
                name=f"{name} {version.trained_through}",
                description=f"{name} ({version.kind}), trained on {version.rows_trained:,} rows of {version.series} "
                f"through {version.trained_through}",
                tags=version.tags,
                params=run_content.params(task, dataset, version),
                metrics=run_content.metrics(task, name, scored, self.content.points),
                folder=folder / name,
            )
            yield Candidate(version, version.identity | {"artifact_digest": version.artifact_digest}, record)

    def _version(self, at: JobContext, name: str, walk: Walk, folder: Path) -> Version:
        """Writes the model into `folder` and describes the version."""
        task, dataset = self.task, self.dataset
        assert walk.model is not None, name  # noqa: S101 (_is_due)
        assert walk.trained_through is not None, name  # noqa: S101
        rows = dataset.table.select(dataset.feature_names).tail(_GOLDEN_ROWS).to_numpy()
        predicted = [float(value) if np.isfinite(value) else None for value in walk.model.predict(rows)]
        return Version(
            task=task.name,
            version=_UNNUMBERED,
            contender=name,
            contender_hash=task.contender_hash(name),
            kind=task.contenders[name].kind,
            series=dataset.series,
            trained_through=walk.trained_through,
            rows_trained=walk.rows_trained,
            data_hash=dataset.data_hash,
            artifact_digest=flavor.save(
                walk.model, folder, dataset.feature_names, rows[-_EXAMPLE_ROWS:], created=walk.trained_through
            ),
            code_version=code_version(at.settings.code_version),
            run_id="",
            golden={"rows": rows.tolist(), "expected": predicted},
        )


@dataclass(frozen=True)
class CheckpointSource:
    """The model of one checkpoint of a pushed task's learner."""

    task: PushedTask
    request: PendingRegistration
    learner: Learner
    dataset: None = None

    def candidates(self, at: JobContext, folder: Path) -> Iterator[Candidate]:
        key, last_seq, rows = self.request.key, self.request.last_seq, self.learner.rows_learned
        version = self._version(at, folder / MODEL)
        identity = version.identity | {"last_event_id": str(last_seq), "artifact_digest": version.artifact_digest}
        tags = {
            "kind": version.kind,
            "data_hash": version.data_hash,
            "code_version": version.code_version,
            "stamp": environment_fingerprint(LEARNER_CODE),
        }
        record = RunRecord(
            key="/".join(identity.values()),
            name=f"{key.contender} {version.trained_through} after event {last_seq}",
            description=f"{key.contender} (incremental), after event {last_seq:,} of {key.log}: {rows:,} rows learned",
            tags=identity | tags,
            params=run_content.checkpoint_params(self.task, self.request, self.learner),
            metrics=run_content.checkpoint_metrics(self.request, self.learner),
            folder=folder,
        )
        yield Candidate(version, identity, record)

    def _version(self, at: JobContext, folder: Path) -> Version:
        """Writes the model into `folder` and describes the version."""
        task, key, day = self.task, self.request.key, self.request.session_date
        declared = {name: one.required for name, one in task.inputs.items()} if task.others == "refuse" else None
        return Version(
            task=task.name,
            version=_UNNUMBERED,
            contender=key.contender,
            contender_hash=key.contender_hash,
            kind="incremental",
            series=key.log,
            trained_through=day,
            rows_trained=self.learner.rows_learned,
            data_hash=digest({"log": key.log, "last_event_id": self.request.last_seq}),
            artifact_digest=flavor.save_rows(self.learner.model, folder, declared, day),
            code_version=code_version(at.settings.code_version),
            run_id="",
            golden=self._golden(at.engine),
        )

    def _golden(self, engine: sa.Engine) -> dict[str, list[object]]:
        """The newest rows that the learner had seen, and its predictions for them."""
        statement = (
            sa.select(events.c.features, events.c.series_id)
            .where(events.c.log == self.request.key.log, events.c.seq <= self.request.last_seq)
            .where(events.c.features.is_not(sa.null()))
            .order_by(events.c.seq.desc())
            .limit(_GOLDEN_ROWS)
        )
        rows = [(row.features, row.series_id or DEFAULT_SERIES) for row in fetch_all(engine, statement)]
        return {
            "rows": [features for features, _ in rows],
            "series": [series for _, series in rows],
            "expected": [self.learner.predict(features, series) for features, series in rows],
        }


def _is_due(task: Task, newest: Version | None, name: str, walk: Walk, session: TrainingSession | None) -> bool:
    if walk.model is None or walk.trained_through is None:
        return False
    if newest is not None and newest.trained_through >= walk.trained_through:
        return False
    return session is None or session.wants_registered(task, name, walk.rows_trained)
