"""Alias moves that survive being interrupted: intended, made, read back, confirmed; and finished by the next job.

MLflow has no compare-and-set and keeps no history. So every move is fenced by the promote lease, and the aliases in
MLflow are compared with the ledger before anything else is decided.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from core.config.settings import Settings
from core.errors import BusyError, IntegrityError, NotFoundError
from core.jobs.context import JobContext
from core.logs import get_log
from training.ledger import entries as ledger
from training.ledger.entries import Move, Phase
from training.registry import flavor, versions
from training.registry.factory import open_registry
from training.registry.versions import Version


@dataclass(frozen=True)
class ReconciledAliases:
    """The version that each alias is on, which aliases a person pinned, and the moves that were finished or found."""

    aliases: Mapping[str, int]
    pinned: frozenset[str]
    repaired: tuple[Move, ...]
    external: tuple[Move, ...]


def reconcile(at: JobContext, task: str) -> ReconciledAliases:
    """Finishes the moves that were interrupted, and records those that others made."""
    # First ours, then what is left: a move of ours that was made and not confirmed would pass for one of a person.
    repaired = tuple(ledger.unfinished(at.engine, task))
    for move in repaired:
        _finish(at, move)
    actual = open_registry(at.settings).aliases(task)
    external = external_moves(at.settings, at.engine, task, actual)
    for move in external:
        _write(at, "external", move)
    pinned = {alias for alias, state in ledger.alias_states(at.engine, task).items() if state.pinned}
    return ReconciledAliases(actual or {}, frozenset(pinned), repaired, external)


def external_moves(
    settings: Settings, engine: sa.Engine, task: str, actual: Mapping[str, int] | None
) -> tuple[Move, ...]:
    """The moves that others made since the ledger was written last; nothing is written.

    Args:
        settings: where the registry is.
        engine: of our database.
        task: its name.
        actual: the version that each alias is on in MLflow; None where it has no such model.
    """
    known, moves = ledger.alias_states(engine, task), []
    for alias in ledger.ALIASES:
        before, now = known[alias].version if alias in known else None, (actual or {}).get(alias)
        if before != now:
            why = _explanation(settings, task, before, now, is_model_there=actual is not None)
            moves.append(ledger.new_move(task, alias, before, now, who="external", why=why))
    return tuple(moves)


def _explanation(settings: Settings, task: str, before: int | None, now: int | None, *, is_model_there: bool) -> str:
    if now is not None or before is None:
        return "moved by hand in MLflow"
    if not is_model_there:
        return "the registered model was deleted in MLflow"
    if open_registry(settings).find(task, before) is None:
        return f"version {before} was deleted in MLflow"
    return "the alias was taken away in MLflow"


def execute(at: JobContext, moves: Sequence[Move]) -> None:
    """Makes moves whose intents are in the ledger, reads each back, and confirms it.

    Raises BusyError when the lease was lost: the process that holds it now finishes them.
    """
    registry = open_registry(at.settings)
    for move in moves:
        with at.writing():
            pass  # the lease is still ours; MLflow itself cannot be fenced
        assert move.to_version is not None, "an alias is never taken away"  # noqa: S101
        registry.set_alias(move.task, move.alias, move.to_version)
        # Read back, for a person may have moved it in the same moment; confirmed would then be a lie.
        if (registry.aliases(move.task) or {}).get(move.alias) != move.to_version:
            raise BusyError(
                f"The alias {move.alias!r} of {move.task!r} was moved by another client at the same moment.",
                "Run the job again: it looks where the alias is and continues from there.",
            )
        _write(at, "confirmed", move)


def store_bundle(at: JobContext, version: Version) -> None:
    """Stores the model folder of a version in Postgres before it takes an alias: the copy that survives MLflow.

    Raises IntegrityError when the files in MLflow are not what was trained.
    """
    if versions.has_bundle(at.engine, version.artifact_digest):
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = open_registry(at.settings).download(version.task, version.version, Path(scratch) / "model")
        if flavor.folder_digest(folder) != version.artifact_digest:
            raise IntegrityError(
                f"The files of version {version.version} of {version.task!r} in MLflow are not what was trained.",
                "Find out who wrote to the artifact store; no alias was moved.",
            )
        content = flavor.pack(folder)
    with at.writing() as connection:
        versions.store_bundle(connection, version.artifact_digest, content)


def _finish(at: JobContext, move: Move) -> None:
    """Ends a move that was intended: it was made, or is made now, or another one has moved the alias since."""
    now = (open_registry(at.settings).aliases(move.task) or {}).get(move.alias)
    if now == move.to_version:
        _write(at, "confirmed", move)
    elif now == move.from_version:
        try:
            execute(at, [move])
        except NotFoundError as error:  # its version was deleted meanwhile
            get_log("promotion").warning(error.problem, remedy=error.remedy, task=move.task)
            _write(at, "abandoned", move)
    # Others have moved the alias since the intent, and their move counts.
    else:
        _write(at, "abandoned", move)


def _write(at: JobContext, phase: Phase, move: Move) -> None:
    with at.writing() as connection:
        ledger.write(connection, phase, move, at.clock.now())
