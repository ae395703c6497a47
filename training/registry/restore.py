"""Brings a registered model back that was deleted in MLflow: every version that we recorded, under its own number.

MLflow numbers the versions of a model made anew from 1 again, while Postgres knows those numbers as other models. The
runs outlive the registered model, and with them the files, so each version is registered again from its run.
"""

from core.errors import BusyError, NotFoundError
from core.jobs.context import JobContext
from training.registry import client as registry
from training.registry import versions
from training.registry.versions import Version

_TOLD = "Registered again: the model was deleted in MLflow."
_MODEL = "model"


def ensure_model(at: JobContext, task: str, title: str) -> None:
    """Makes the registered model of a task when there is none: with the versions that it had, where it was deleted.

    Without them the next version would get a number that Postgres knows as another model. Errors as `put_back`.
    """
    if not put_back(at, task):
        registry.ensure_model(at.settings, task, title)


def put_back(at: JobContext, task: str) -> int:
    """Makes the registered model of a task again where MLflow has it no more, and returns how many versions it got.

    A number that no version of ours bears is taken by a copy of the one after it, which is never served. Aliases stay
    away: whoever asks for this moves them. Nothing is made when a run is gone as well, which raises NotFoundError.
    Raises RegistryUnreachableError; BusyError when somebody else registers versions meanwhile (then the model is to be
    deleted in MLflow, and this done again).
    """
    highest = versions.highest(at.engine, task)
    if highest == 0 or registry.aliases(at.settings, task, registry.JOB) is not None:
        return 0
    known = versions.numbered(at.engine, task, range(1, highest + 1))
    following = known[highest]
    sources = {}
    for number in range(highest, 0, -1):
        sources[number] = following = known.get(number, following)
    folders = {run: _artifacts(at, run) for run in {version.run_id for version in sources.values()}}
    registry.ensure_model(at.settings, task, _TOLD)
    for number in range(1, highest + 1):
        with at.writing():
            pass  # the lease is still ours; MLflow itself cannot be fenced
        version = sources[number]
        _register(at, number, version, folders[version.run_id], is_ours=number in known)
    return highest


def _register(at: JobContext, number: int, version: Version, folder: str, *, is_ours: bool) -> None:
    made = registry.create_version(
        at.settings,
        version.task,
        source=f"{folder}/{_MODEL}",
        run_id=version.run_id,
        tags=version.tags if is_ours else {},
        description=_TOLD if is_ours else "Keeps a number that was given to a version of somebody else.",
    )
    if made != number:
        raise BusyError(
            f"MLflow gave the number {made} where {number} was due: somebody else registers versions of "
            f"{version.task!r}.",
            "Delete the registered model in MLflow, then run this again.",
        )


def _artifacts(at: JobContext, run_id: str) -> str:
    """Where a run keeps its files."""
    uri = registry.artifacts_of(at.settings, run_id)
    if uri is None:
        raise NotFoundError(
            f"MLflow has no run {run_id} any more, whose files the deleted model had.",
            "Put MLflow's old database back, or start both databases anew.",
        )
    return uri
