"""The alias `champion` of a pushed task: it follows the newest version of the contender that learns and answers.

The first version takes it (BOOTSTRAP), each newer one of the same contender refreshes it, and where the declaration or
MODEL_NAME picks another contender, that one's takes it over. No gate decides: one contender learns, and the learner
itself answers. An alias that a person moved stays, as everywhere, until its pin is released.
"""

import sqlalchemy as sa

from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings
from core.jobs.clock import Clock
from training.ledger import decisions, manual, reconciler
from training.ledger import entries as ledger
from training.ledger.decisions import BOOTSTRAP, PROMOTE, Decision
from training.ledger.entries import CHAMPION, Move
from training.registry import versions
from training.registry.versions import Version


def is_due(engine: sa.Engine, task: PushedTask, contender: str) -> bool:
    """Whether, by the ledger alone, the alias is not on the contender's newest version and may be moved there."""
    newest = versions.newest(engine, task, task.name, contender)
    champion = ledger.alias_states(engine, task.name).get(CHAMPION)
    if newest is None or (champion is not None and champion.pinned):
        return False
    return champion is None or champion.version != newest.version


def promote(engine: sa.Engine, settings: Settings, task: PushedTask, contender: str, clock: Clock) -> Move | None:
    """Moves the alias to the contender's newest version.

    Moves that were interrupted are finished first, and those of others recorded.

    Args:
        engine: of our database.
        settings: where the registry is.
        task: whose alias it is.
        contender: that learns and answers.
        clock: of the job.

    Returns:
        The move; None when the alias is there already, or is pinned.

    Raises:
        RegistryUnreachableError: MLflow does not answer.
        BusyError: another process is moving the task's aliases.
    """
    with manual.hold_promote_lease(engine, settings, task.name, clock) as (at, aliases):
        newest = versions.newest(engine, task, task.name, contender)
        now = aliases.aliases.get(CHAMPION)
        if newest is None or CHAMPION in aliases.pinned or now == newest.version:
            return None
        # Before the alias moves: the copy in Postgres serves when MLflow is lost.
        reconciler.store_bundle(at, newest)
        before = None if now is None else versions.find(engine, task.name, now)
        decision = _decision(task, before, newest)
        why = f"{decision.outcome} {decision.reason}"
        move = ledger.new_move(task.name, CHAMPION, now, newest.version, who="register", why=why)
        with at.writing() as connection:
            move = move.with_decision(decisions.record(connection, decision, clock.now()), decision.evidence_hash)
            # Before the move: a job that is killed in between is finished by the next one.
            ledger.write(connection, "intent", move, clock.now())
        reconciler.execute(at, [move])
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
