"""The versions of a task, as MLflow lists them and as we recorded them, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from core.config.settings import Settings
from training.registry import client as registry
from training.registry import versions
from training.registry.versions import Version


@dataclass(frozen=True)
class Listed:
    """A version in MLflow: its tags, the aliases on it, and what Postgres knows of it.

    `recorded` is None for one that we did not make: no digest is known to check it by, so it is never served.
    """

    version: int
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]
    recorded: Version | None


def listed(engine: sa.Engine, settings: Settings, task: str, limit: int = 100) -> list[Listed]:
    """The newest versions, newest first; none where MLflow has no model of that name.

    Raises RegistryUnreachableError and DatabaseUnreachableError.
    """
    standing = registry.aliases(settings, task, registry.JOB)
    if standing is None:
        return []
    found = registry.newest_versions(settings, task, limit)
    known = versions.numbered(engine, task, {version.version for version in found})
    return [
        Listed(
            version.version,
            version.run_id,
            version.tags,
            tuple(sorted(alias for alias, number in standing.items() if number == version.version)),
            known.get(version.version),
        )
        for version in found
    ]
