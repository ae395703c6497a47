"""The alias `champion` of a pushed task: it stands on the newest version of the contender that learns and answers.

The first version takes it (BOOTSTRAP), each newer one of the same contender refreshes it, and where the declaration or
MODEL_NAME picks another contender, that one's takes it over. There is nothing to judge: one contender learns, and the
learner itself answers. An alias that a person moved stays, as everywhere, until it is released.
"""

import sqlalchemy as sa

from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings
from core.jobs.clock import Clock
from training.ledger import decisions, manual, reconciler
from training.ledger import entries as ledger
from training.ledger.decisions import Decision
from training.ledger.entries import CHAMPION, Move
from training.registry import versions
from training.registry.versions import Version

BOOTSTRAP, PROMOTE = "BOOTSTRAP", "PROMOTE"


def is_due(engine: sa.Engine, task: PushedTask, contender: str) -> bool:
    """Whether, as far as the ledger knows, the alias does not stand where it should."""
    newest = versions.newest(engine, task, task.name, contender)
    standing = ledger.standing(engine, task.name).get(CHAMPION)
    if newest is None or (standing is not None and standing.pinned):
        return False
    return standing is None or standing.version != newest.version


def crown(engine: sa.Engine, settings: Settings, task: PushedTask, contender: str, clock: Clock) -> Move | None:
    """Moves the alias to where it should stand; the move, or None when it stands there or is pinned.

    Moves that died half-way are mended first, and those of others written down. Raises RegistryUnreachableError, and
    BusyError when somebody else is moving the task's aliases.
    """
    with manual.workplace(engine, settings, task.name, clock) as (at, stands):
        newest = versions.newest(engine, task, task.name, contender)
        now = stands.aliases.get(CHAMPION)
        if newest is None or CHAMPION in stands.pinned or now == newest.version:
            return None
        reconciler.keep_bundle(at, newest)
        before = None if now is None else versions.find(engine, task.name, now)
        decision = _decision(task, before, newest)
        why = f"{decision.outcome} {decision.reason}"
        move = ledger.new_move(task.name, CHAMPION, now, newest.version, who="register", why=why)
        with at.writing() as connection:
            move = move.decided(decisions.record(connection, decision, clock.now()), decision.evidence_hash)
            ledger.write(connection, "intent", move, clock.now())
        reconciler.carry_out(at, [move])
        return move


def _decision(task: PushedTask, before: Version | None, newest: Version) -> Decision:
    if before is None:
        outcome, reason = BOOTSTRAP, "first_version"
    else:
        outcome, reason = PROMOTE, "refresh" if before.contender == newest.contender else "declared"
    evidence = {
        "config_hash": task.config_hash,
        "version": newest.version,
        "trained_through": newest.trained_through.isoformat(),
        "data_hash": newest.data_hash,
        "artifact_digest": newest.artifact_digest,
    }
    return Decision(task.name, task.name, newest.trained_through, outcome, reason, newest.contender, None, evidence)
