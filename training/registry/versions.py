"""Model versions as we made them, in Postgres: what MLflow serves is checked against this, never the other way."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import fetch_all, fetch_one, fetch_scalar
from core.db.pipeline_tables import bundles, versions
from core.errors import IntegrityError
from training.registry.factory import open_registry


@dataclass(frozen=True)
class Version:
    """One model that a contender made. `golden`: {rows: [[…]], expected: […]}, to score before it serves."""

    task: str
    version: int
    contender: str
    contender_hash: str
    kind: str
    series: str
    trained_through: date
    rows_trained: int
    data_hash: str
    artifact_digest: str
    code_version: str
    run_id: str
    golden: dict[str, Any]

    @property
    def identity(self) -> dict[str, str]:
        """The tags in MLflow that say which model it is: never two versions with the same."""
        return {
            "contender": self.contender,
            "contender_hash": self.contender_hash,
            "series": self.series,
            "trained_through": self.trained_through.isoformat(),
        }

    @property
    def tags(self) -> dict[str, str]:
        """All its tags in MLflow."""
        return self.identity | {
            "kind": self.kind,
            "data_hash": self.data_hash,
            "artifact_digest": self.artifact_digest,
            "code_version": self.code_version,
        }


@dataclass(frozen=True)
class ListedVersion:
    """A version in MLflow: its tags, the aliases on it, and what Postgres knows of it.

    `recorded` is None for one that we did not make: no digest is known to check it by, so it is never served.
    """

    version: int
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    recorded: Version | None


_COLUMNS = [versions.c[field.name] for field in fields(Version)]


def record(connection: sa.Connection, version: Version) -> None:
    """Adds a version in the caller's transaction.

    Raises IntegrityError when MLflow has given out a number that Postgres knows as another model.
    """
    existing = connection.execute(_select(version.task).where(versions.c.version == version.version)).one_or_none()
    if existing is not None and existing.artifact_digest != version.artifact_digest:
        raise IntegrityError(
            f"MLflow gave out version {version.version} of {version.task!r} a second time: its registered model was "
            "deleted, or its database is another one.",
            "Restore MLflow's old database, or start with two empty ones.",
        )
    # A job that was killed after this row records the same version once more.
    connection.execute(insert(versions).values(asdict(version)).on_conflict_do_nothing())


def find(engine: sa.Engine, task: str, version: int) -> Version | None:
    """The version of that number, or None when we never made it."""
    return _first(engine, _select(task).where(versions.c.version == version))


def numbered(engine: sa.Engine, task: str, numbers: Collection[int]) -> dict[int, Version]:
    """Those of a task's versions that have one of these numbers, by number."""
    statement = _select(task).where(versions.c.version.in_(numbers))
    return {row.version: Version(**row._mapping) for row in fetch_all(engine, statement)}


def listed(engine: sa.Engine, settings: Settings, task: str, limit: int = 100) -> list[ListedVersion]:
    """The newest versions in MLflow, newest first; none where it has no model of that name.

    Raises RegistryUnreachableError and DatabaseUnreachableError.
    """
    registry = open_registry(settings)
    aliases = registry.aliases(task)
    if aliases is None:
        return []
    found = registry.newest_versions(task, limit)
    known = numbered(engine, task, {version.version for version in found})
    return [
        ListedVersion(
            version.version,
            version.run_id,
            version.tags,
            tuple(sorted(alias for alias, number in aliases.items() if number == version.version)),
            known.get(version.version),
        )
        for version in found
    ]


def newest(engine: sa.Engine, task: Task | PushedTask, series: str, contender: str) -> Version | None:
    """The version of a contender, as declared now, that has learned most of a series; None before the first."""
    statement = _select(task.name).where(
        versions.c.series == series,
        versions.c.contender == contender,
        versions.c.contender_hash == task.contender_hash(contender),
    )
    return _first(engine, statement.order_by(versions.c.trained_through.desc()))


def newest_of_all(engine: sa.Engine, task: Task, series: str) -> dict[str, Version]:
    """For each contender of a task that has one, the version that has learned most of a series."""
    declared = [(name, task.contender_hash(name)) for name in task.contenders]
    statement = (
        _select(task.name)
        .ext(distinct_on(versions.c.contender))
        .where(versions.c.series == series, sa.tuple_(versions.c.contender, versions.c.contender_hash).in_(declared))
        .order_by(versions.c.contender, versions.c.trained_through.desc())
    )
    return {row.contender: Version(**row._mapping) for row in fetch_all(engine, statement)}


def made(
    engine: sa.Engine, task: str, series: str, contender: str, contender_hash: str, trained_through: date
) -> Version | None:
    """The version of a contender that has learned a series through a date; None when there is none yet."""
    return _first(
        engine,
        _select(task).where(
            versions.c.series == series,
            versions.c.contender == contender,
            versions.c.contender_hash == contender_hash,
            versions.c.trained_through == trained_through,
        ),
    )


def highest(engine: sa.Engine, task: str) -> int:
    """The highest version number recorded, 0 when there is none."""
    statement = sa.select(sa.func.coalesce(sa.func.max(versions.c.version), 0)).where(versions.c.task == task)
    number: int = fetch_scalar(engine, statement)
    return number


def bundle(engine: sa.Engine, digest: str) -> bytes | None:
    """The packed model folder with this digest (see `training.registry.flavor.unpack`), or None when none is stored."""
    content: bytes | None = fetch_scalar(engine, sa.select(bundles.c.content).where(bundles.c.digest == digest))
    return content


def has_bundle(engine: sa.Engine, digest: str) -> bool:
    """Whether the packed folder with this digest is stored."""
    statement = sa.select(sa.func.count()).select_from(bundles).where(bundles.c.digest == digest)
    return bool(fetch_scalar(engine, statement))


def store_bundle(connection: sa.Connection, digest: str, content: bytes) -> None:
    """Stores a packed model folder in the caller's transaction, unless it is stored already."""
    connection.execute(insert(bundles).values(digest=digest, content=content).on_conflict_do_nothing())


def _select(task: str) -> sa.Select[Any]:
    return sa.select(*_COLUMNS).where(versions.c.task == task)


def _first(engine: sa.Engine, statement: sa.Select[Any]) -> Version | None:
    row = fetch_one(engine, statement.limit(1))
    return None if row is None else Version(**row._mapping)
