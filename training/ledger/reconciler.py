"""Alias moves that survive being interrupted: written down, made, read back, confirmed; and repaired by the next job.

MLflow has no compare-and-set and keeps no history. So every move is fenced by the promote lease, and what the aliases
say is compared with what the ledger says before anything else is decided.
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
from training.registry import client as registry
from training.registry import flavor, versions
from training.registry.versions import Version


@dataclass(frozen=True)
class Reconciled:
    """Where the aliases stand now, which of them a person pinned, and what was found and mended on the way."""

    aliases: Mapping[str, int]
    pinned: frozenset[str]
    repaired: tuple[Move, ...]
    external: tuple[Move, ...]


def reconcile(at: JobContext, task: str) -> Reconciled:
    """Finishes the moves that died half-way, and records those that others made."""
    repaired = tuple(ledger.unfinished(at.engine, task))
    for move in repaired:
        _finish(at, move)
    actual = registry.aliases(at.settings, task, registry.JOB)
    external = found(at.settings, at.engine, task, actual)
    for move in external:
        _write(at, "external", move)
    pinned = {alias for alias, stands in ledger.standing(at.engine, task).items() if stands.pinned}
    return Reconciled(actual or {}, frozenset(pinned), repaired, external)


def found(settings: Settings, engine: sa.Engine, task: str, actual: Mapping[str, int] | None) -> tuple[Move, ...]:
    """The moves that others made since the ledger was written last; nothing is written.

    `actual` is where MLflow says that the aliases stand; None: it has no such model.
    """
    standing, moves = ledger.standing(engine, task), []
    for alias in ledger.ALIASES:
        before, now = standing[alias].version if alias in standing else None, (actual or {}).get(alias)
        if before != now:
            why = _how(settings, task, before, now, is_model_there=actual is not None)
            moves.append(ledger.new_move(task, alias, before, now, who="external", why=why))
    return tuple(moves)


def _how(settings: Settings, task: str, before: int | None, now: int | None, *, is_model_there: bool) -> str:
    if now is not None or before is None:
        return "moved by hand in MLflow"
    if not is_model_there:
        return "the registered model was deleted in MLflow"
    if registry.find(settings, task, before) is None:
        return f"version {before} was deleted in MLflow"
    return "the alias was taken away in MLflow"


def carry_out(at: JobContext, moves: Sequence[Move]) -> None:
    """Makes moves whose intents are in the ledger, reads each back, and confirms it.

    Raises BusyError when the lease was lost: whoever holds it now finishes them.
    """
    for move in moves:
        with at.writing():
            pass  # the lease is still ours; MLflow itself cannot be fenced
        assert move.to_version is not None, "an alias is never taken away"  # noqa: S101
        registry.set_alias(at.settings, move.task, move.alias, move.to_version)
        standing = registry.aliases(at.settings, move.task, registry.JOB) or {}
        if standing.get(move.alias) != move.to_version:
            raise BusyError(
                f"The alias {move.alias!r} of {move.task!r} was moved by somebody else at the same moment.",
                "Run the job again: it looks where the alias stands and goes on from there.",
            )
        _write(at, "confirmed", move)


def keep_bundle(at: JobContext, version: Version) -> None:
    """Keeps the model folder of a version in Postgres before it takes an alias: the copy that survives MLflow."""
    if versions.has_bundle(at.engine, version.artifact_digest):
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = registry.download(at.settings, version.task, version.version, Path(scratch) / "model")
        if registry.folder_digest(folder) != version.artifact_digest:
            raise IntegrityError(
                f"The files of version {version.version} of {version.task!r} in MLflow are not what was trained.",
                "Find out who wrote to the artifact store; no alias was moved.",
            )
        content = flavor.pack(folder)
    with at.writing() as connection:
        versions.keep_bundle(connection, version.artifact_digest, content)


def _finish(at: JobContext, move: Move) -> None:
    """Ends a move that was intended: it was made, or is made now, or somebody else has moved the alias since."""
    now = (registry.aliases(at.settings, move.task, registry.JOB) or {}).get(move.alias)
    if now == move.to_version:
        _write(at, "confirmed", move)
    elif now == move.from_version:
        try:
            carry_out(at, [move])
        except NotFoundError as error:
            get_log("promotion").warning(error.problem, remedy=error.remedy, task=move.task)
            _write(at, "abandoned", move)
    else:
        _write(at, "abandoned", move)


def _write(at: JobContext, phase: Phase, move: Move) -> None:
    with at.writing() as connection:
        ledger.write(connection, phase, move, at.clock.now())
