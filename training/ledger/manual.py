"""Moves of an alias that a person asks for: the way of the promote job, with a decision FORCED, and a pin after it.

As with a move by hand in MLflow, the gate leaves such an alias alone until it is released (`training.ledger.unpin`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import sqlalchemy as sa

from core.auth import audit
from core.config.settings import Settings
from core.errors import ConfigurationError, DataRefusedError, NotFoundError
from core.jobs import leases
from core.jobs.clock import Clock
from core.jobs.context import JobContext
from training.ledger import decisions, reconciler
from training.ledger import entries as ledger
from training.ledger.decisions import Decision
from training.ledger.entries import CHALLENGER, CHAMPION
from training.ledger.reconciler import Reconciled
from training.registry import client as registry
from training.registry import versions
from training.registry.versions import Version

LEASE_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class PromotionRequest:
    """What a person asks for. `reason` is `promoted` or `rolled_back`. Raises as `require_text`."""

    task: str
    alias: str
    version: int
    who: str
    why: str
    reason: str

    def __post_init__(self) -> None:
        require_text(self.who, self.why)


@dataclass(frozen=True)
class Forced:
    """Where the alias stands now and stood before; `moved` is False where it stood there already.

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
                "Nothing was moved. Write it in UTF-8 and ask again.",
            )


@contextmanager
def workplace(
    engine: sa.Engine, settings: Settings, task: str, clock: Clock
) -> Iterator[tuple[JobContext, Reconciled]]:
    """The promote lease of a task, with what died half-way mended and what others moved written down.

    Raises BusyError when a job holds it for longer than one waits for an answer.
    """
    with leases.hold(engine, f"promote/{task}", wait_seconds=LEASE_WAIT_SECONDS) as lease:
        at = JobContext(settings, engine, lease, clock)
        yield at, reconciler.reconcile(at, task)


def promote(engine: sa.Engine, settings: Settings, asked: PromotionRequest, clock: Clock) -> Forced:
    """Gives an alias to a version. Raises NotFoundError for one that there is not; errors as `move`."""
    with workplace(engine, settings, asked.task, clock) as (at, stands):
        return move(at, stands, asked)


def move(at: JobContext, stands: Reconciled, asked: PromotionRequest) -> Forced:
    """Moves an alias and pins it. One that stands there is pinned there: who says so wants it to stay.

    Its version must be known to Postgres by its digest, and be in MLflow. Raises NotFoundError, DataRefusedError for a
    version that we did not make, IntegrityError for changed files.
    """
    version = _known(at, asked)
    now = stands.aliases.get(asked.alias)
    is_there = now == version.version
    if is_there and asked.alias in stands.pinned:
        with at.writing() as connection:
            _audit(connection, asked, now, "nothing to do")
        return Forced(asked.task, asked.alias, now, version.version, version.contender, False, True, False)
    reconciler.keep_bundle(at, version)
    decision = _decision(at, stands, replace(asked, reason=ledger.PROMOTED) if is_there else asked, version)
    intended = ledger.new_move(asked.task, asked.alias, now, version.version, who=asked.who, why=asked.why)
    with at.writing() as connection:
        number = decisions.record(connection, decision, at.clock.now())
        intended = intended.decided(number, decision.evidence_hash)
        ledger.write(connection, "confirmed" if is_there else "intent", intended, at.clock.now())
        told = "pinned" if is_there else "intended"
        _audit(connection, asked, now, told, move=intended.id, decision=number)
    if not is_there:
        reconciler.carry_out(at, [intended])
    return Forced(asked.task, asked.alias, now, version.version, version.contender, not is_there, True, True)


def _known(at: JobContext, asked: PromotionRequest) -> Version:
    version = versions.find(at.engine, asked.task, asked.version)
    registered = registry.find(at.settings, asked.task, asked.version)
    if registered is None:
        raise NotFoundError(
            f"MLflow has no version {asked.version} of {asked.task!r}.",
            f"`contender history {asked.task}` names those that held an alias, and MLflow's page of the model all.",
        )
    if version is None:
        raise DataRefusedError(
            f"Postgres knows no digest of version {asked.version} of {asked.task!r}, so its files cannot be checked.",
            "No alias was moved. Choose a version that this installation has trained: "
            f"`contender history {asked.task}` names those that held an alias.",
        )
    return version


def _decision(at: JobContext, stands: Reconciled, asked: PromotionRequest, version: Version) -> Decision:
    """The decision of a person."""
    holders = {**stands.aliases, asked.alias: version.version}
    known = versions.numbered(at.engine, asked.task, set(holders.values()))
    contenders = {alias: known[number].contender for alias, number in holders.items() if number in known}
    evidence = {
        "asked": {"alias": asked.alias, "version": asked.version, "who": asked.who, "why": asked.why},
        "from_version": stands.aliases.get(asked.alias),
        "artifact_digest": version.artifact_digest,
    }
    return Decision(
        asked.task,
        version.series,
        at.clock.now().date(),
        ledger.FORCED,
        asked.reason,
        contenders.get(CHAMPION),
        contenders.get(CHALLENGER),
        evidence,
    )


def _audit(
    connection: sa.Connection, asked: PromotionRequest, before: int | None, outcome: str, **more: object
) -> None:
    """`intended`: the ledger says how the move ended; `pinned`: it stood there already."""
    action = "roll back" if asked.reason == ledger.ROLLED_BACK else "promote"
    detail = {"task": asked.task, "alias": asked.alias, "from": before, "to": asked.version, "why": asked.why, **more}
    audit.record(connection, who=asked.who, action=action, outcome=outcome, detail=detail)
