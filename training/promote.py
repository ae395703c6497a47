"""The promote job: compares the contenders, decides, and moves the aliases. `python -m training.promote --task spy`.

It makes three kinds of move: the first champion (BOOTSTRAP), a newer version of the contender that is champion
(refresh), and another contender on evidence (succession). The alias `challenger` follows the leader among the rest.
An alias that a person moved stays where it is until it is released. All of it happens under one lease, `promote/TASK`,
which those hold as well who move an alias for a person (`training.ledger.manual`).
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date

import numpy as np
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.tasks import Task, digest
from core.db.engine import connect, reachable
from core.errors import IntegrityError, NotFoundError
from core.jobs import leases, run_keys
from core.jobs.clock import Clock
from core.jobs.context import JobContext
from core.jobs.run_keys import RunKey
from core.jobs.runner import run_job
from features.dataset import Dataset
from ingestion.store import observations
from training.evaluation import outcomes, predictions
from training.ledger import decisions, reconciler
from training.ledger import entries as ledger
from training.ledger.decisions import Decision
from training.ledger.entries import CHALLENGER, CHAMPION, Move
from training.promote_summary import PromoteReport, described, report_of
from training.promotion import holdout_refit, record
from training.promotion.collect import DecisionContext
from training.promotion.collect import read as situation_now
from training.promotion.gate import GUARD, HOLD, STALE, Verdict, decide
from training.promotion.inputs import Given
from training.registry import client as registry
from training.registry import validation, versions
from training.registry.versions import Version
from training.reports import publisher

LEASE_WAIT_SECONDS = 120.0


def run(settings: Settings, task: Task, clock: Clock, *, log_holds: bool = True) -> PromoteReport:
    """Reconciles the aliases with the ledger, decides on what is new, moves what the decision says, and logs it.

    As of an instant before the last decision nothing is decided: the gate goes forward only.

    Without `log_holds` MLflow is told only of what is no HOLD. Raises NotFoundError when there is nothing to promote,
    RegistryUnreachableError or BusyError to be tried again, IntegrityError when the files of a model are not what was
    trained.
    """
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    try:
        return promote(settings, engine, task, clock, log_holds=log_holds)
    finally:
        engine.dispose()


def promote(
    settings: Settings,
    engine: sa.Engine,
    task: Task,
    clock: Clock,
    *,
    log_holds: bool = True,
    dataset: Dataset | None = None,
) -> PromoteReport:
    """The same with connections that are there already. `dataset`: the task's newest; None: the lake's."""
    with leases.hold(engine, f"promote/{task.name}", wait_seconds=LEASE_WAIT_SECONDS) as lease:
        at = JobContext(settings, engine, lease, clock)
        report = described(engine, _promote(at, task, dataset))
        if log_holds or (report.is_new and report.outcome != HOLD):
            publisher.complete(at, task, holds=log_holds)
        return report


def _promote(at: JobContext, task: Task, dataset: Dataset | None) -> PromoteReport:
    aliases = reconciler.reconcile(at, task.name)
    found = (*aliases.repaired, *aliases.external)
    series, newest = _contestants(at.engine, task)
    key = _run_key(at, task, series, newest)
    last = decisions.newest(at.engine, task.name)
    if last is not None and _stands(at.engine, key):
        return report_of(last, found, is_new=False)
    looked_at = decisions.newest_look(at.engine, task.name)
    if last is not None and looked_at is not None and looked_at > at.clock.now():
        return report_of(last, found, is_new=False, ahead=looked_at)

    made, gone = list(found), set[int]()
    while True:
        there = {name: version for name, version in newest.items() if version.version not in gone}
        situation = situation_now(at, task, series, there, aliases, gone, dataset)
        missed = situation.missed
        night = None if missed is None else missed.through
        try:
            if missed is None or night is None:
                decision, moved = _decide(at, situation, date.fromisoformat(key.session_date), key)
                return report_of(decision, (*made, *moved), is_new=True)
            made += _decide(at, missed, night)[1]
        except _GoneError as error:  # as if it had never been made: it can stand for nothing
            gone.add(error.version.version)
        aliases = reconciler.reconcile(at, task.name)


class _GoneError(Exception):
    """A version that is to serve was deleted in MLflow."""

    def __init__(self, version: Version) -> None:
        super().__init__(version.version)
        self.version = version


def _decide(
    at: JobContext, situation: DecisionContext, session_date: date, key: RunKey | None = None
) -> tuple[Decision, list[Move]]:
    """One look of the gate, written down and carried out; with a key, the last one of this run."""
    situation, given, verdict = _judged(at, situation, session_date)
    decision = record.decision(given, verdict)
    intended = _intended(at, situation, verdict, decision)
    wanted = {move.to_version for move in intended if move.to_version}
    for version in versions.numbered(at.engine, situation.task.name, wanted).values():
        reconciler.keep_bundle(at, version)
    if situation.champion is not None and any(move.alias == CHAMPION for move in intended):
        with suppress(NotFoundError, IntegrityError):  # it is wanted for its probation; without it there is none
            reconciler.keep_bundle(at, situation.champion)
    with at.writing() as connection:
        decision_id = decisions.record(connection, decision, at.clock.now())
        made = [move.decided(decision_id, decision.evidence_hash) for move in intended]
        for move in made:
            ledger.write(connection, "intent", move, at.clock.now())
        if key is not None:
            run_keys.settle(connection, key, {"decision": decision_id})
    reconciler.carry_out(at, made)
    return decision, made


def _judged(at: JobContext, situation: DecisionContext, session_date: date) -> tuple[DecisionContext, Given, Verdict]:
    """The verdict; a version that is to serve is read back first, and one that is not what it was is rejected.

    Raises _GoneError for one that was deleted in MLflow.
    """
    while True:
        given = record.given(situation, session_date)
        verdict = decide(record.case(given, situation.board, situation.carried))
        taken = record.taker(situation, verdict)
        if taken is None or taken == situation.champion:
            return situation, given, verdict
        if registry.find(at.settings, taken.task, taken.version) is None:
            raise _GoneError(taken)
        said = np.asarray(holdout_refit.model_of(at, taken).predict(np.array(taken.golden["rows"])), dtype=np.float64)
        if validation.repeats_itself(taken, said):
            return situation, given, verdict
        situation = replace(situation, spoilt={**situation.spoilt, verdict.judged or "": validation.GOLDEN_BATCH})


def _contestants(engine: sa.Engine, task: Task) -> tuple[str, dict[str, Version]]:
    """The series that the task stands on, and the newest version of each contender that has one."""
    active = observations.active(engine, task.name)
    newest = {} if active is None else versions.newest_of_all(engine, task, active.series)
    if active is None or not newest:
        raise NotFoundError(
            f"Task {task.name} has no model version to promote.",
            f"Run the training job first: python -m training --task {task.name}",
        )
    return active.series, newest


def _run_key(at: JobContext, task: Task, series: str, newest: Mapping[str, Version]) -> RunKey:
    """Names the work by what a decision depends on: predictions, labels, versions, and what people did to the aliases.

    Rows are only ever added, so their counts say whether anything is new.
    """
    with reachable(), at.engine.connect() as connection:
        rows, session_date = predictions.extent(connection, task, series)
        labels = outcomes.count(connection, task, series, at.clock.now())
        by_hand = ledger.last_not_by_decision(connection, task.name)
    numbers = {name: version.version for name, version in newest.items()}
    stands_on = digest([task.config_hash, series, rows, labels, numbers, by_hand])
    return RunKey(task.name, "promote", str(session_date or max(v.trained_through for v in newest.values())), stands_on)


def _stands(engine: sa.Engine, key: RunKey) -> bool:
    """Whether the last decision was made on this; what it depends on may have changed since, and changed back."""
    settled = run_keys.settled(engine, key)
    return settled is not None and settled["decision"] == decisions.newest_number(engine, key.task)


def _intended(at: JobContext, situation: DecisionContext, verdict: Verdict, decision: Decision) -> list[Move]:
    """The moves that a decision asks for."""
    taken = record.taker(situation, verdict)
    who = GUARD if verdict.reason == GUARD else "promote"
    wanted = {
        CHAMPION: (taken, who, f"{decision.outcome} {decision.reason}"),
        CHALLENGER: (_runner_up(at, situation, decision), "promote", "leads the rest"),
    }
    intended = []
    for alias, (version, by, why) in wanted.items():
        now = situation.aliases.aliases.get(alias)
        if version is not None and version.version != now and alias not in situation.aliases.pinned:
            move = ledger.new_move(situation.task.name, alias, now, version.version, who=by, why=why)
            intended.append(move)
    return intended


def _runner_up(at: JobContext, situation: DecisionContext, decision: Decision) -> Version | None:
    """The version for the challenger's alias: one that could serve, and that MLflow still has."""
    name = decision.challenger or ""
    version = situation.newest.get(name)
    if version is None or name in {*situation.unfit, *situation.spoilt} or decision.reason == STALE:
        return None
    if version.version == situation.aliases.aliases.get(CHALLENGER):
        return version
    return None if registry.find(at.settings, version.task, version.version) is None else version


if __name__ == "__main__":
    raise SystemExit(run_job("training.promote", run))
