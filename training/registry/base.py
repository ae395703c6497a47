"""What the product needs of MLflow, as two interfaces: a model registry, and a tracker of the runs of an experiment.

`training.registry.client` and `training.registry.tracking` implement them over HTTP, `training.registry.file_registry`
in a folder, for tests; `tests/integration/training/registry/test_contract.py` holds all of them to the same behaviour.
*Absent* is `None` (no such model, no such version); *unreachable* raises RegistryUnreachableError. The two are never
confused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.errors import ConfigurationError

Timeouts = tuple[float, float]
POLL: Timeouts = (0.5, 1.5)
"""Seconds to connect and to wait for an answer, for a caller that polls every two seconds."""
JOB: Timeouts = (3.0, 30.0)
"""Seconds to connect and to wait for an answer, for a job, which would rather wait than start again."""

KEY = "contender.key"
"""The tag of a run that names what it is for: a job that was killed finds its open run by it."""
MODEL, PICTURES = "model", "pictures"
"""The folders of a run's artifacts."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A model version as the registry knows it. `source`: the URI of its model folder."""

    version: int
    run_id: str
    source: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class MetricPoint:
    """A metric after `step` scored rows; `timestamp` in milliseconds since 1970 (MLflow takes none before)."""

    name: str
    value: float
    step: int
    timestamp: int


@dataclass(frozen=True)
class RunRecord:
    """All that a run shows. `folder` holds `model/` and `pictures/`, which are uploaded as they are."""

    key: str
    name: str
    description: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Sequence[MetricPoint]
    folder: Path


@dataclass(frozen=True)
class LoggedRun:
    """A run with everything in it, and the URI of its model folder."""

    run_id: str
    source: str


class ModelRegistry(Protocol):
    """Registered models with their versions and aliases. Every method raises RegistryUnreachableError."""

    def aliases(self, model: str) -> dict[str, int] | None:
        """The version that each alias of a registered model names; None when there is no such model."""

    def ensure_model(self, model: str, description: str) -> None:
        """Makes a registered model when there is none; the description of an existing one stays."""

    def create_version(self, model: str, *, source: str, run_id: str, tags: Mapping[str, str], description: str) -> int:
        """Registers the model folder at `source` as the next version.

        Returns:
            Its number. Numbers of deleted versions are not given out again, unless the whole model was deleted.

        Raises:
            NotFoundError: there is no such registered model.
        """

    def versions_above(self, model: str, above: int) -> list[RegisteredVersion]:
        """The versions numbered above `above`, newest first; none when there is no such model."""

    def newest_versions(self, model: str, limit: int) -> list[RegisteredVersion]:
        """The newest versions, newest first; at most 1,000."""

    def find(self, model: str, version: int) -> RegisteredVersion | None:
        """One version; None when there is none of that number, or no such model."""

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Moves an alias. Raises NotFoundError when there is no such version.

        The product moves aliases in `training.ledger.reconciler` only, under the promote lease, with the ledger
        written before and after.
        """

    def delete_model(self, model: str) -> None:
        """Removes a registered model with its versions and aliases, if there is one; their runs stay."""

    def download(self, model: str, version: int, folder: Path) -> Path:
        """Fetches a version's model folder into `folder` (emptied first) and returns it.

        Nothing is checked here: compare `flavor.folder_digest` with what Postgres recorded before unpickling.

        Raises:
            NotFoundError: there is no such version, or none of its files.
        """

    def artifacts_of(self, run_id: str) -> str | None:
        """The URI under which a run keeps its files; None when there is no such run."""

    def has_experiment(self, name: str) -> bool:
        """Whether there is an experiment of that name that was not deleted."""

    def delete_experiment(self, name: str) -> None:
        """Removes an experiment, if there is one, and its runs' files; another of its name can be made after."""


class RunTracker(Protocol):
    """The runs of one experiment. Safe to use from several threads; every method raises RegistryUnreachableError.

    A run stays open until the version that it is for is registered. So a job that was killed finds the run by its key
    and completes it.
    """

    def log(self, record: RunRecord) -> LoggedRun:
        """Writes a run, or completes the one that was open for the same key when the tracker was opened."""

    def finish(self, run_id: str) -> None:
        """Closes a run."""

    def finished(self, key: str) -> str | None:
        """The id of the closed run with this key; None when there is none."""


def require_name(name: str) -> str:
    """The name of a model or an experiment, if MLflow can take it; raises ConfigurationError otherwise."""
    if not name or any(character in name for character in "/:'\"%"):
        raise ConfigurationError(f"{name!r} cannot name a model in MLflow.", "Use letters, digits and - only.")
    return name
