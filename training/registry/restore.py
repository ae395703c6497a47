"""Restores a registered model that was deleted in MLflow: every version that we recorded, under its own number.

MLflow numbers the versions of a model that is made again from 1, while Postgres knows those numbers as other models.
The runs outlive the registered model, and with them the files, so each version is registered again from its run.
"""

from core.errors import BusyError, NotFoundError
from core.jobs.context import JobContext
from training.registry import versions
from training.registry.base import MODEL, ModelRegistry
from training.registry.factory import open_registry
from training.registry.versions import Version

_RESTORED = "Registered again: the model was deleted in MLflow."
_PLACEHOLDER = "Keeps a number that was given to a version of somebody else."


def ensure_model(at: JobContext, task: str, title: str) -> None:
    """Makes the registered model of a task when there is none: with the versions that it had, where it was deleted.

    Without them the next version would get a number that Postgres knows as another model. Errors as
    `restore_registered_model`.
    """
    if not restore_registered_model(at, task):
        open_registry(at.settings).ensure_model(task, title)


def restore_registered_model(at: JobContext, task: str) -> int:
    """Makes the registered model of a task again where MLflow has lost it.

    A number that none of our versions has is taken by a copy of the version after it, which is never served. Aliases
    are left to the caller.

    Returns:
        How many versions it has now; 0 where nothing was to be done.

    Raises:
        RegistryUnreachableError: MLflow does not answer.
        NotFoundError: a run is gone as well; nothing was made.
        BusyError: another process registers versions at the same time. The model is then to be deleted in MLflow, and
            this done again.
    """
    registry = open_registry(at.settings)
    highest = versions.highest(at.engine, task)
    if highest == 0 or registry.aliases(task) is not None:
        return 0
    known = versions.numbered(at.engine, task, range(1, highest + 1))
    following = known[highest]
    sources = {}
    for number in range(highest, 0, -1):
        sources[number] = following = known.get(number, following)
    # Looked up for all before the model is made: half a model would be worse than none.
    folders = {run: _artifacts(registry, run) for run in {version.run_id for version in sources.values()}}
    registry.ensure_model(task, _RESTORED)
    for number in range(1, highest + 1):
        with at.writing():
            pass  # the lease is still ours; MLflow itself cannot be fenced
        version = sources[number]
        _register(registry, number, version, folders[version.run_id], is_ours=number in known)
    return highest


def _register(registry: ModelRegistry, number: int, version: Version, folder: str, *, is_ours: bool) -> None:
    made = registry.create_version(
        version.task,
        source=f"{folder}/{MODEL}",
        run_id=version.run_id,
        tags=version.tags if is_ours else {},
        description=_RESTORED if is_ours else _PLACEHOLDER,
    )
    if made != number:
        raise BusyError(
            f"MLflow gave the number {made} where {number} was due: another process registers versions of "
            f"{version.task!r}.",
            "Delete the registered model in MLflow, then run this again.",
        )


def _artifacts(registry: ModelRegistry, run_id: str) -> str:
    """Where a run keeps its files."""
    uri = registry.artifacts_of(run_id)
    if uri is None:
        raise NotFoundError(
            f"MLflow has no run {run_id} any more, whose files the deleted model had.",
            "Restore MLflow's old database, or start with two empty ones.",
        )
    return uri
