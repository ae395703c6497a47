"""Moves of an alias that a person requests: made as the promote job makes them, with a decision FORCED, and pinned.

As with a move by hand in MLflow, the gate leaves such an alias alone until its pin is released.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import sqlalchemy as sa

from core.auth import audit
from core.config.settings import Settings
from core.db.engine import open_engine
from core.errors import ConfigurationError, DataRefusedError, NotFoundError
from core.jobs import leases
from core.jobs.clock import Clock
from core.jobs.context import JobContext
from training.ledger import decisions, reconciler
from training.ledger import entries as ledger
from training.ledger.decisions import Decision
from training.ledger.entries import CHALLENGER, CHAMPION
from training.ledger.reconciler import ReconciledAliases
from training.registry import versions
from training.registry.factory import open_registry
from training.registry.versions import Version

# A person waits for the answer, so not for the end of a job's work.
LEASE_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class PromotionRequest:
    """A move that a person requests. `reason` is `promoted` or `rolled_back`. Raises as `require_text`."""

    task: str
    alias: str
    version: int
    who: str
    why: str
    reason: str

    def __post_init__(self) -> None:
        require_text(self.who, self.why)


@dataclass(frozen=True)
class ForcedMove:
    """The version that an alias is on now and was on before; `moved` is False where it was there already.

    `changed` is False where it was pinned there as well, so that nothing was done.
    """

    task: str
    alias: str
    from_version: int | None
    version: int
    contender: str
    moved: bool
    pinned: bool
    changed: bool


def require_text(who: str, why: str) -> None:
    """Raises ConfigurationError for a name or a reason that Postgres cannot keep: not UTF-8, or with a NUL in it."""
    for what, text in (("name", who), ("reason", why)):
        if "\x00" in text or text.encode("utf-8", "replace").decode() != text:
            raise ConfigurationError(
                f"The {what} {text[:60]!r} is no text in UTF-8, and the ledger keeps no other.",
                "Nothing was moved. Write it in UTF-8 and try again.",
            )


@contextmanager
def hold_promote_lease(
    engine: sa.Engine, settings: Settings, task: str, clock: Clock
) -> Iterator[tuple[JobContext, ReconciledAliases]]:
    """Holds the promote lease of a task, with interrupted moves finished and those of others recorded.

    Raises BusyError when a job holds it for longer than LEASE_WAIT_SECONDS.
    """
    with leases.hold(engine, f"promote/{task}", wait_seconds=LEASE_WAIT_SECONDS) as lease:
        at = JobContext(settings, engine, lease, clock)
        # First what was left unfinished: a person's choice must not be undone when the next job finishes an older move.
        yield at, reconciler.reconcile(at, task)


def promote(engine: sa.Engine, settings: Settings, request: PromotionRequest, clock: Clock) -> ForcedMove:
    """Gives an alias to a version. Raises NotFoundError for one that does not exist; errors as `move`."""
    with hold_promote_lease(engine, settings, request.task, clock) as (at, aliases):
        return move(at, aliases, request)


def move(at: JobContext, aliases: ReconciledAliases, request: PromotionRequest) -> ForcedMove:
    """Moves an alias and pins it. One that is there already is pinned there: the person wants it to stay.

    Args:
        at: the job, which holds the promote lease.
        aliases: of the task, as they were reconciled under that lease.
        request: of a version that Postgres knows by its digest, and that is in MLflow.

    Raises:
        NotFoundError: MLflow has no such version.
        DataRefusedError: we did not make the version.
        IntegrityError: its files have changed.
    """
    version = _known(at, request)
    now = aliases.aliases.get(request.alias)
    is_there = now == version.version
    if is_there and request.alias in aliases.pinned:
        with at.writing() as connection:
            _audit(connection, request, now, "nothing to do")
        return ForcedMove(request.task, request.alias, now, version.version, version.contender, False, True, False)
    # Before anything is written down: where the files were changed, no alias is to move.
    reconciler.store_bundle(at, version)
    decision = _decision(at, aliases, replace(request, reason=ledger.PROMOTED) if is_there else request, version)
    intended = ledger.new_move(request.task, request.alias, now, version.version, who=request.who, why=request.why)
    with at.writing() as connection:
        number = decisions.record(connection, decision, at.clock.now())
        intended = intended.with_decision(number, decision.evidence_hash)
        # Where nothing moves there is nothing to finish after a crash, so the pin is confirmed at once.
        ledger.write(connection, "confirmed" if is_there else "intent", intended, at.clock.now())
        outcome = "pinned" if is_there else "intended"
        _audit(connection, request, now, outcome, move=intended.id, decision=number)
    if not is_there:
        reconciler.execute(at, [intended])
    return ForcedMove(request.task, request.alias, now, version.version, version.contender, not is_there, True, True)


def release_pins(settings: Settings, task: str, clock: Clock, *, who: str, why: str) -> tuple[str, ...]:
    """Releases the pins of a task's aliases, so that the gate may move again what a person moved by hand.

    The aliases are not moved; the ledger keeps who released them and why. What others have moved in MLflow since the
    last job is recorded first, and released with the rest.

    Args:
        settings: where our database and the registry are.
        task: its name.
        clock: of the command.
        who: releases them.
        why: they are released.

    Returns:
        The aliases that were pinned.

    Raises:
        BusyError: a job holds the lease for longer than LEASE_WAIT_SECONDS.
        RegistryUnreachableError: MLflow does not answer.
        ConfigurationError: as `require_text`.
    """
    require_text(who, why)
    with (
        open_engine(settings.require_database_url(), schema=settings.schema_name) as engine,
        hold_promote_lease(engine, settings, task, clock) as (at, _),
        at.writing() as connection,
    ):
        return tuple(
            alias
            for alias in ledger.ALIASES
            if ledger.release(connection, task, alias, who=who, why=why, at=clock.now())
        )


def _known(at: JobContext, request: PromotionRequest) -> Version:
    version = versions.find(at.engine, request.task, request.version)
    if open_registry(at.settings).find(request.task, request.version) is None:
        raise NotFoundError(
            f"MLflow has no version {request.version} of {request.task!r}.",
            f"`contender history {request.task}` names those that held an alias, and MLflow's page of the model all.",
        )
    if version is None:
        raise DataRefusedError(
            f"Postgres knows no digest of version {request.version} of {request.task!r}, so its files cannot be "
            "checked.",
            "No alias was moved. Choose a version that this installation has trained: "
            f"`contender history {request.task}` names those that held an alias.",
        )
    return version


def _decision(at: JobContext, aliases: ReconciledAliases, request: PromotionRequest, version: Version) -> Decision:
    """The decision of a person."""
    holders = {**aliases.aliases, request.alias: version.version}
    known = versions.numbered(at.engine, request.task, set(holders.values()))
    contenders = {alias: known[number].contender for alias, number in holders.items() if number in known}
    evidence = {
        "asked": {"alias": request.alias, "version": request.version, "who": request.who, "why": request.why},
        "from_version": aliases.aliases.get(request.alias),
        "artifact_digest": version.artifact_digest,
    }
    return Decision(
        request.task,
        version.series,
        at.clock.now().date(),
        ledger.FORCED,
        request.reason,
        contenders.get(CHAMPION),
        contenders.get(CHALLENGER),
        evidence,
    )


def _audit(
    connection: sa.Connection, request: PromotionRequest, before: int | None, outcome: str, **more: object
) -> None:
    """Records the request. `intended`: the ledger has how the move ended; `pinned`: the alias was there already."""
    action = "roll back" if request.reason == ledger.ROLLED_BACK else "promote"
    detail = {
        "task": request.task,
        "alias": request.alias,
        "from": before,
        "to": request.version,
        "why": request.why,
        **more,
    }
    audit.record(connection, who=request.who, action=action, outcome=outcome, detail=detail)
