"""The promote job: compares the contenders, decides, and moves the aliases. `python -m training.promote --task spy`.

It makes three kinds of move: the first champion (BOOTSTRAP), a newer version of the contender that is champion
(refresh), and another contender on evidence (succession). The alias `challenger` follows the leader among the rest.
An alias that a person moved stays where it is until it is released. All of it happens under one lease, `promote/TASK`,
which the commands that move an alias for a person hold too (`training.ledger.manual`).
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date

import numpy as np
import sqlalchemy as sa
from msgspec.structs import replace

from core.config.settings import Settings
from core.config.tasks import Task, digest
from core.db.engine import connection, open_engine
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
from training.promotion.collect import DecisionContext, collect
from training.promotion.gate import GUARD, HOLD, STALE, Verdict, decide
from training.registry import validation, versions
from training.registry.factory import open_registry
from training.registry.versions import Version
from training.reports import publisher

LEASE_WAIT_SECONDS = 120.0


def run(settings: Settings, task: Task, clock: Clock, *, log_holds: bool = True) -> PromoteReport:
    """Reconcile the aliases with the ledger, decide on what is new, move what the decision says, and log it.

    As of an instant before the last decision nothing is decided: the gate goes forward only.

    Args:
        settings: the addresses.
        task: the task to decide on.
        clock: where "now" comes from.
        log_holds: whether HOLD decisions are logged to MLflow as well.

    Raises:
        NotFoundError: there is nothing to promote.
        RegistryUnreachableError: MLflow does not answer; to be tried again.
        BusyError: another process holds the lease; to be tried again.
        IntegrityError: the files of a model are not what was trained.

    """
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        return promote(settings, engine, task, clock, log_holds=log_holds)


def promote(
    settings: Settings,
    engine: sa.Engine,
    task: Task,
    clock: Clock,
    *,
    log_holds: bool = True,
    dataset: Dataset | None = None,
) -> PromoteReport:
    """Do what `run` does, on a database that is connected already. `dataset`: the task's newest; None: the lake's."""
    with leases.hold(engine, f"promote/{task.name}", wait_seconds=LEASE_WAIT_SECONDS) as lease:
        at = JobContext(settings, engine, lease, clock)
        report = described(engine, _promote(at, task, dataset))
        if log_holds or (report.is_new and report.outcome != HOLD):
            publisher.complete(at, task, holds=log_holds)
        return report


def _promote(at: JobContext, task: Task, dataset: Dataset | None) -> PromoteReport:
    aliases = reconciler.reconcile(at, task.name)
    found = (*aliases.repaired, *aliases.external)
    series, newest = _newest_versions(at.engine, task)
    key = _run_key(at, task, series, newest)
    last = decisions.newest(at.engine, task.name)
    if last is not None and _is_current(at.engine, key):
        return report_of(last, found, is_new=False)
    # A clock that was set back (`--as-of`) must not make decisions between those that exist.
    looked_at = decisions.newest_look(at.engine, task.name)
    if last is not None and looked_at is not None and looked_at > at.clock.now():
        return report_of(last, found, is_new=False, ahead=looked_at)

    made, gone = list(found), set[int]()
    # Each pass judges one session, the oldest that was missed first, so that a week without runs changes no decision.
    while True:
        there = {name: version for name, version in newest.items() if version.version not in gone}
        context = collect(at, task, series, there, aliases, gone, dataset)
        missed = context.missed
        try:
            if missed is None:
                decision, moved = _decide(at, context, date.fromisoformat(key.session_date), key)
                return report_of(decision, (*made, *moved), is_new=True)
            session = missed.given.through
            assert session is not None, "a missed session has a date"  # noqa: S101
            made += _decide(at, missed, session)[1]
        except _GoneError as error:
            # MLflow cannot serve it, so the decision is made again as if it had never been trained.
            gone.add(error.version.version)
        aliases = reconciler.reconcile(at, task.name)


class _GoneError(Exception):
    """A version that is to serve was deleted in MLflow."""

    def __init__(self, version: Version) -> None:
        super().__init__(version.version)
        self.version = version


def _decide(
    at: JobContext, context: DecisionContext, session_date: date, key: RunKey | None = None
) -> tuple[Decision, list[Move]]:
    """Make, store and carry out one decision; with a key, the last one of this run."""
    context = replace(context, given=replace(context.given, session_date=session_date))
    context, verdict = _judged(at, context)
    decision = record.decision(context.given, verdict)
    intended = _intended(at, context, verdict, decision)
    # The files are copied before the decision is stored: an alias must never point to what cannot be served without
    # MLflow.
    wanted = {move.to_version for move in intended if move.to_version}
    for version in versions.numbered(at.engine, decision.task, wanted).values():
        reconciler.store_bundle(at, version)
    if context.champion is not None and any(move.alias == CHAMPION for move in intended):
        # It is kept for its probation; without its files there is none, which keeps no alias from moving.
        with suppress(NotFoundError, IntegrityError):
            reconciler.store_bundle(at, context.champion)
    # The decision and the intents are one transaction: an intent without its decision could not be explained, and a
    # decision without its intents would never be carried out.
    with at.writing() as opened:
        decision_id = decisions.record(opened, decision, at.clock.now())
        made = [move.with_decision(decision_id, decision.evidence_hash) for move in intended]
        for move in made:
            ledger.write(opened, "intent", move, at.clock.now())
        if key is not None:
            run_keys.settle(opened, key, {"decision": decision_id})
    reconciler.execute(at, made)
    return decision, made


def _judged(at: JobContext, context: DecisionContext) -> tuple[DecisionContext, Verdict]:
    """Judge; a version that is to serve is loaded first, and rejected when it no longer predicts as it did.

    Raises _GoneError for one that was deleted in MLflow.
    """
    while True:
        given = context.given
        verdict = decide(given, given.rows(context.board), context.state)
        promoted = context.promoted_version(verdict)
        if promoted is None or promoted == context.champion:
            return context, verdict
        if open_registry(at.settings).find(promoted.task, promoted.version) is None:
            raise _GoneError(promoted)
        model = holdout_refit.model_of(at, promoted)
        predicted = np.asarray(model.predict(np.array(promoted.golden["rows"])), dtype=np.float64)
        if validation.reproduces_golden_batch(promoted, predicted):
            return context, verdict
        # Judged again without it, the gate may still find another version to promote.
        failed = {**given.failed_validation, verdict.judged or "": validation.GOLDEN_BATCH}
        context = replace(context, given=replace(given, failed_validation=failed))


def _newest_versions(engine: sa.Engine, task: Task) -> tuple[str, dict[str, Version]]:
    """Return the task's active series, and the newest version of each contender that has one."""
    active = observations.active(engine, task.name)
    newest = {} if active is None else versions.newest_of_all(engine, task, active.series)
    if active is None or not newest:
        raise NotFoundError(
            f"Task {task.name} has no model version to promote.",
            f"Run the training job first: python -m training --task {task.name}",
        )
    return active.series, newest


def _run_key(at: JobContext, task: Task, series: str, newest: Mapping[str, Version]) -> RunKey:
    """Name the work by what a decision depends on: predictions, labels, versions, and what people did to the aliases.

    Rows are only ever added, so their counts tell whether anything is new.
    """
    with connection(at.engine) as opened:
        rows, session_date = predictions.extent(opened, task, series)
        labels = outcomes.count(opened, task, series, at.clock.now())
        by_hand = ledger.last_not_by_decision(opened, task.name)
    numbers = {name: version.version for name, version in newest.items()}
    depends_on = digest([task.config_hash, series, rows, labels, numbers, by_hand])
    session = session_date or max(version.trained_through for version in newest.values())
    return RunKey(task.name, "promote", str(session), depends_on)


def _is_current(engine: sa.Engine, key: RunKey) -> bool:
    """Tell whether the last decision rests on this work; the work may have changed since, and changed back."""
    settled = run_keys.settled(engine, key)
    return settled is not None and settled["decision"] == decisions.newest_number(engine, key.task)


def _intended(at: JobContext, context: DecisionContext, verdict: Verdict, decision: Decision) -> list[Move]:
    """Return the moves that a decision asks for."""
    promoted = context.promoted_version(verdict)
    by = GUARD if verdict.reason == GUARD else "promote"
    wanted = {
        CHAMPION: (promoted, by, f"{decision.outcome} {decision.reason}"),
        CHALLENGER: (_challenger(at, context, decision), "promote", "leads the rest"),
    }
    intended = []
    for alias, (version, by, why) in wanted.items():
        now = context.aliases.aliases.get(alias)
        if version is not None and version.version != now and alias not in context.aliases.pinned:
            intended.append(ledger.new_move(decision.task, alias, now, version.version, who=by, why=why))
    return intended


def _challenger(at: JobContext, context: DecisionContext, decision: Decision) -> Version | None:
    """Return the version for the challenger's alias: one that could serve, and that MLflow still has."""
    name = decision.challenger or ""
    version = context.newest.get(name)
    if version is None or name in context.given.failed_validation or decision.reason == STALE:
        return None
    if version.version == context.aliases.aliases.get(CHALLENGER):
        return version  # no move, so there is no need to ask MLflow for it
    return None if open_registry(at.settings).find(version.task, version.version) is None else version


if __name__ == "__main__":
    raise SystemExit(run_job("training.promote", run))
