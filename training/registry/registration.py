"""From a checkpoint of a pushed task's learner to an MLflow run, a version, and a row of ours.

As with `training.registry.registration_to_fold`: a run that is still open is found by its key, a version that MLflow
has and Postgres
has not by its tags and by the digest of the same folder made again. So a checkpoint has one version, or none yet.
"""

import re
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

import sqlalchemy as sa

from core.config.pushed_tasks import PushedTask
from core.config.tasks import digest
from core.db.engine import reachable
from core.db.event_tables import events
from core.fingerprint import code_version, environment_fingerprint
from core.jobs.context import JobContext
from training.learners import checkpoints
from training.learners.checkpoints import LEARNER_CODE
from training.learners.factory import pushed_learner_factory, task_declaring
from training.learners.learner import Learner
from training.learners.outbox import PendingRegistration
from training.models.online import DEFAULT_SERIES
from training.registry import client as registry
from training.registry import flavor, restore, versions
from training.registry.tracking import MODEL, Point, Record, Tracking
from training.registry.versions import Version

_UNNUMBERED = 0
_GOLDEN_ROWS = 8
_MOST_SERIES = 20
"""Series whose figures a run shows: those with the most rows."""
_MOST_CHARACTERS = 500


def register(at: JobContext, task: PushedTask, asked: PendingRegistration) -> Version:
    """The version of a checkpoint, made unless it was.

    Raises RegistryUnreachableError when MLflow does not answer; ConfigurationError, IntegrityError or NotFoundError
    when the checkpoint cannot be used.
    """
    key = asked.key
    made = versions.made(at.engine, task.name, key.log, key.contender, key.contender_hash, asked.session_date)
    if made is not None:
        return made
    restore.ensure_model(at, task.name, task.title)
    learner = checkpoints.at(at.engine, key, asked.last_seq, pushed_learner_factory(task, key))
    orphans = registry.versions_above(at.settings, task.name, versions.highest(at.engine, task.name))
    with tempfile.TemporaryDirectory(prefix="contender-") as scratch:
        version, record = _prepare(at, task, asked, learner, Path(scratch))
        tracking = Tracking.open(at.settings, task, None)
        orphan = next((one for one in orphans if _identity(version, asked).items() <= dict(one.tags).items()), None)
        if orphan is not None:
            number, run_id = orphan.version, orphan.run_id
        else:
            logged = tracking.log(record)
            run_id = logged.run_id
            number = registry.create_version(
                at.settings,
                task.name,
                source=logged.source,
                run_id=run_id,
                tags=record.tags,
                description=record.description,
            )
    tracking.finish(run_id)
    version = replace(version, version=number, run_id=run_id)
    with at.writing() as connection:
        versions.record(connection, version)
    return version


def _prepare(
    at: JobContext, task: PushedTask, asked: PendingRegistration, learner: Learner, folder: Path
) -> tuple[Version, Record]:
    key, day = asked.key, asked.session_date
    declared = {name: one.required for name, one in task.inputs.items()} if task.others == "refuse" else None
    version = Version(
        task=task.name,
        version=_UNNUMBERED,
        contender=key.contender,
        contender_hash=key.contender_hash,
        kind="incremental",
        series=key.log,
        trained_through=day,
        rows_trained=learner.rows_learned,
        data_hash=digest({"log": key.log, "last_event_id": asked.last_seq}),
        artifact_digest=flavor.save_rows(learner.model, folder / MODEL, declared, day),
        code_version=code_version(at.settings.code_version),
        run_id="",
        golden=_golden(at.engine, asked, learner),
    )
    identity = _identity(version, asked)
    tags = identity | {
        "kind": version.kind,
        "data_hash": version.data_hash,
        "code_version": version.code_version,
        "stamp": environment_fingerprint(LEARNER_CODE),
    }
    record = Record(
        key="/".join(identity.values()),
        name=f"{key.contender} {day} after event {asked.last_seq}",
        description=f"{key.contender} (incremental), after event {asked.last_seq:,} of {key.log}: "
        f"{learner.rows_learned:,} rows learned",
        tags=tags,
        params=_params(task, asked, learner),
        metrics=_metrics(asked, learner),
        folder=folder,
    )
    return version, record


def _identity(version: Version, asked: PendingRegistration) -> dict[str, str]:
    """The tags that say which model it is: never two versions with the same."""
    return {
        "contender": version.contender,
        "contender_hash": version.contender_hash,
        "series": version.series,
        "trained_through": version.trained_through.isoformat(),
        "last_event_id": str(asked.last_seq),
        "artifact_digest": version.artifact_digest,
    }


def _golden(engine: sa.Engine, asked: PendingRegistration, learner: Learner) -> dict[str, list[object]]:
    """The newest rows that it had seen, and what it says of them."""
    statement = (
        sa.select(events.c.features, events.c.series_id)
        .where(events.c.log == asked.key.log, events.c.seq <= asked.last_seq, events.c.features.is_not(sa.null()))
        .order_by(events.c.seq.desc())
        .limit(_GOLDEN_ROWS)
    )
    with reachable(), engine.connect() as connection:
        rows = [(row.features, row.series_id or DEFAULT_SERIES) for row in connection.execute(statement)]
    return {
        "rows": [features for features, _ in rows],
        "series": [series for _, series in rows],
        "expected": [learner.predict(features, series) for features, series in rows],
    }


def _params(task: PushedTask, asked: PendingRegistration, learner: Learner) -> dict[str, str]:
    """How the contender was declared, where it still is so, and what it has learned."""
    declared = task_declaring(task, asked.key)
    told: dict[str, object] = {"contender": asked.key.contender, "log": asked.key.log}
    if declared is not None:
        named = declared.contenders[asked.key.contender].model_dump(mode="json")
        told |= {f"parameters.{name}": value for name, value in named.pop("parameters").items()} | named
    features = ", ".join(name for name in learner.stats.moments if name.isprintable())
    told |= {"last_event_id": asked.last_seq, "rows_trained": learner.rows_learned, "features": features}
    return {name: str(value)[:_MOST_CHARACTERS] for name, value in told.items() if value is not None}


def _metrics(asked: PendingRegistration, learner: Learner) -> list[Point]:
    """The figures of each series; those of rows that name none bear no prefix."""
    at = int(datetime.combine(asked.session_date, time(), tzinfo=UTC).timestamp() * 1000)
    report = sorted(learner.report().items(), key=lambda item: -item[1]["count"])[:_MOST_SERIES]
    figures = {
        _name(series, figure): float(value)
        for series, told in report
        for figure, value in told.items()
        if value is not None
    }
    return [Point(name, value, asked.last_seq, at) for name, value in figures.items()]


def _name(series: str, figure: str) -> str:
    """A metric's name, of the characters that MLflow takes.

    >>> _name("default", "mae"), _name("web/münchen", "mae_5")
    ('mae', 'web_m_nchen/mae_5')
    """
    return figure if series == DEFAULT_SERIES else f"{re.sub('[^A-Za-z0-9_-]', '_', series)}/{figure}"
