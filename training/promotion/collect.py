"""Collects what a decision depends on: its input, and the rows of the scoreboard that no decision has counted."""

import math
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from core.config.tasks import Task, digest
from core.errors import NotFoundError
from core.jobs.context import JobContext
from features import lake
from features.dataset import Dataset
from training.evaluation import e_values, scoreboard
from training.evaluation.scoreboard import Scope, Scoreboard, as_date
from training.ledger import decisions
from training.ledger import entries as ledger
from training.ledger.decisions import Decision
from training.ledger.entries import CHAMPION
from training.ledger.reconciler import ReconciledAliases
from training.promotion import holdout_refit
from training.promotion.gate import BOOTSTRAP, GUARD, PROMOTE, Verdict
from training.promotion.inputs import FixedPredictions, GateInput
from training.promotion.state import GateState, Probation, StoredState, Tenure, fixed_name
from training.registry import validation, versions
from training.registry.versions import Version


class DecisionContext(Struct, frozen=True):
    """The input of a decision, with what is needed to judge it and to carry it out.

    `board`: the rows that are needed; `state`: what earlier decisions left. `newest`: the newest version of each
    contender that has one, unless it was refused; `champion` and `previous`: the versions of the champion and, while
    its probation may last, of the previous champion. `looked`: the newest scored date that a decision has seen.
    """

    given: GateInput
    board: Scoreboard
    state: GateState
    newest: Mapping[str, Version]
    aliases: ReconciledAliases
    champion: Version | None
    previous: Version | None
    looked: date | None

    @property
    def missed(self) -> "DecisionContext | None":
        """The first session that no run of the job has judged, as it was then; None when that is the newest.

        So a run after a week without any decides what seven runs would have decided, in their order.
        """
        if self.looked is None or len(sessions := self.board.after(self.looked).target_dates) <= 1:
            return None
        session = as_date(sessions[0])
        tenure, fixed = self.given.tenure, self.given.fixed
        if self.champion is None:
            tenure = Tenure(session, refused=tenure.refused)
        if fixed is not None:
            known = {day: value for day, value in fixed.values.items() if day <= session.isoformat()}
            fixed = replace(fixed, values=known)
        # Today's version was not there on an earlier session, so there is no refresh to judge.
        given = replace(self.given, through=session, tenure=tenure, fixed=fixed, newer_version=None)
        return replace(self, given=given)

    def promoted_version(self, verdict: Verdict) -> Version | None:
        """Return the version that the verdict makes champion; None when the champion stays as it is."""
        if verdict.outcome not in (BOOTSTRAP, PROMOTE):
            return None
        if verdict.reason == GUARD and not self.given.tenure.is_live:
            return self.previous
        return self.newest.get(verdict.champion or "")


def collect(
    at: JobContext,
    task: Task,
    series: str,
    newest: Mapping[str, Version],
    aliases: ReconciledAliases,
    gone: Collection[int] = (),
    dataset: Dataset | None = None,
) -> DecisionContext:
    """Collect the input of the next decision, and the rows that no decision has counted.

    Args:
        at: our database, the addresses and the clock.
        task: the task to decide on.
        series: the series that it is on.
        newest: the newest version of each contender that has one.
        aliases: the versions that the aliases point to.
        gone: versions that MLflow no longer has.
        dataset: the task's newest; None: the lake's.

    """
    number = aliases.aliases.get(CHAMPION)
    champion = None if number is None else versions.find(at.engine, task.name, number)
    if champion is not None and champion.series != series:
        champion = None  # evidence belongs to a series
    last = decisions.newest_judged(at.engine, task.name, series)
    refused = () if last is None else Tenure.after(last).refused
    tenure = _tenure(last, champion)
    previous = None
    if tenure is not None:
        previous = None if tenure.previous is None else versions.find(at.engine, task.name, tenure.previous)
        if previous is None or previous.version in gone:
            tenure, previous = tenure.without_probation(), None
    candidates = {name: version for name, version in newest.items() if version.version not in refused}
    given = _input(at, task, series, aliases, tenure or Tenure(None, refused=refused), candidates, champion, previous)

    state = given.state_after(last)
    looked = None if last is None else GateInput.of(last).through
    begin = _begin(given, state, looked, is_new_tenure=tenure is None)
    board = scoreboard.read(at.engine, given.scope, given.as_of, begin)
    newest_label = board.last or looked
    if tenure is None:
        promoted = None if champion is None else _looked_when_promoted(at, given.scope, looked)
        looked = max((day for day in (looked, promoted) if day is not None), default=None)
        given = replace(given, tenure=Tenure(promoted or board.last or looked, refused=refused))
    age_days = None if newest_label is None else (given.as_of.date() - newest_label).days
    given = replace(given, through=board.last or looked, age_days=age_days)
    context = DecisionContext(given, board, state, candidates, aliases, champion, previous, looked)
    return _with_version_predictions(at, task, context, dataset)


def _input(
    at: JobContext,
    task: Task,
    series: str,
    aliases: ReconciledAliases,
    tenure: Tenure,
    newest: Mapping[str, Version],
    champion: Version | None,
    previous: Version | None,
) -> GateInput:
    """Build the input as far as it does not depend on rows."""
    scope = Scope.of(task, series)
    failed = _failed_validation(task, newest, champion)
    eligible = {name for name in newest if name not in failed}
    identities = dict(scope.contenders)
    name, newer, is_fixed = None, None, False
    if champion is not None:
        name = _board_name(task, champion)
        identities[name] = champion.contender_hash
        newer = newest.get(name)
        if newer is not None and newer.trained_through <= champion.trained_through:
            newer = None
    against = _previous_name(task, tenure, champion, previous, eligible)
    if previous is not None and against is not None:
        is_fixed = not tenure.is_live
        identities[against] = previous.artifact_digest if is_fixed else previous.contender_hash
    return GateInput(
        task=task.name,
        series=series,
        session_date=at.clock.now().date(),
        as_of=at.clock.now(),
        through=None,
        age_days=None,
        metric=task.metric,
        gate=task.gate,
        target_kind=scope.target_kind,
        scored_from=scope.scored_from,
        contenders=scope.contenders,
        baseline=task.baseline,
        config_hash=task.config_hash,
        basis=digest([series, task.metric, task.gate.block, task.scored_from, e_values.PROCEDURE]),
        identities=identities,
        versions={name: _summary(version) for name, version in sorted(newest.items())},
        eligible=frozenset(eligible | ({name} if name else set())),
        failed_validation=failed,
        newer_version=None if newer is None else newer.version,
        harm=1.0,
        champion=name,
        serving=None if champion is None else _summary(champion),
        serving_kind=None if champion is None else champion.kind,
        is_pinned=CHAMPION in aliases.pinned,
        is_lost=CHAMPION in aliases.pinned and CHAMPION not in aliases.aliases,
        tenure=tenure,
        probation=None if against is None else Probation(against, tenure.moved),
        previous_contender=previous.contender if is_fixed and previous is not None else None,
        fixed=None,
    )


def _summary(version: Version) -> dict[str, Any]:
    return {
        "contender": version.contender,
        "version": version.version,
        "trained_through": version.trained_through.isoformat(),
        "data_hash": version.data_hash,
        "artifact_digest": version.artifact_digest,
    }


def _board_name(task: Task, version: Version) -> str:
    """Return a version's name on the scoreboard; one declared otherwise since then has its old hash behind it."""
    return version.contender if _is_declared(task, version) else f"{version.contender}@{version.contender_hash}"


def _is_declared(task: Task, version: Version) -> bool:
    return version.contender in task.contenders and task.contender_hash(version.contender) == version.contender_hash


def _previous_name(
    task: Task, tenure: Tenure, champion: Version | None, previous: Version | None, eligible: Collection[str]
) -> str | None:
    """Return the previous champion's name on the scoreboard; None when there is none, or none that could serve."""
    if previous is None or champion is None or previous.version == champion.version:
        return None
    if not tenure.is_live:
        return fixed_name(previous.contender, previous.version) if _is_declared(task, previous) else None
    name = _board_name(task, previous)
    return name if name in eligible else None


def _failed_validation(task: Task, newest: Mapping[str, Version], champion: Version | None) -> dict[str, str]:
    failed = {}
    for name, version in newest.items():
        is_of_champion = champion is not None and version.contender_hash == champion.contender_hash
        if reason := validation.failed_check(task, version, champion if is_of_champion else None):
            failed[name] = reason
    return failed


def _tenure(last: Decision | None, champion: Version | None) -> Tenure | None:
    """Return the tenure as the last decision left it; None when another contender was champion then.

    A champion that a person set begins a new tenure. One whose declaration has changed goes on under another name.
    """
    if last is None or champion is None:
        return None
    if StoredState.of(last).identities.get(last.champion or "") != champion.contender_hash:
        return None
    return Tenure.after(last)


def _looked_when_promoted(at: JobContext, scope: Scope, looked: date | None) -> date | None:
    """Return the newest date that was scored when a person made the champion: the choice may rest on those rows."""
    moved = ledger.alias_states(at.engine, scope.task)[CHAMPION].since
    return scoreboard.read(at.engine, scope, moved, looked).last or looked


def _begin(given: GateInput, state: GateState, looked: date | None, *, is_new_tenure: bool) -> date | None:
    """Return the date after which rows are needed; None: all of them."""
    if state.ranking is None:
        return None
    counted: list[date | None] = [state.ranking.through]
    for key in given.pair_keys():
        if (pair := state.pairs.get(key)) is not None:
            counted.append(pair.through or pair.since)
        else:
            counted.append(looked if is_new_tenure and key[0] == given.champion else key[2])
    return None if None in counted else min(day for day in counted if day is not None)


def _with_version_predictions(
    at: JobContext, task: Task, context: DecisionContext, dataset: Dataset | None
) -> DecisionContext:
    """Add what single versions predict: the fixed one on probation, and the holdout refit of a newer version."""
    given, champion = context.given, context.champion
    newer = context.newest.get(given.champion or "") if given.newer_version is not None else None
    wants_refit = (
        newer is not None
        and task.contenders[newer.contender].kind == "batch"
        and newer.contender not in given.failed_validation
    )
    if not (given.previous_contender or wants_refit):
        return context
    if dataset is None:
        dataset = lake.current(at.settings, at.engine, task, given.as_of)
    if given.previous_contender:
        given = _with_fixed_predictions(at, dataset, context)
    if wants_refit and champion is not None and newer is not None:
        given = replace(given, harm=holdout_refit.harm(at, task, dataset, champion, newer))
    return replace(context, given=given)


def _with_fixed_predictions(at: JobContext, dataset: Dataset, context: DecisionContext) -> GateInput:
    """Add what the fixed version predicts of the rows that its pair has not counted.

    Without files of that version its probation ends: they were never kept, and MLflow no longer has them.
    """
    given, previous, probation = context.given, context.previous, context.given.probation
    assert previous is not None and probation is not None, "its contender is known"  # noqa: S101, PT018
    pair = context.state.pairs.get((given.champion or "", probation.against, probation.since))
    counted = probation.since if pair is None else pair.through or pair.since
    days = context.board.after(probation.since).target_dates
    try:
        track = holdout_refit.track(at, dataset, previous, days)
    except NotFoundError:
        identities = {name: identity for name, identity in given.identities.items() if name != probation.against}
        without = given.tenure.without_probation()
        return replace(given, tenure=without, probation=None, previous_contender=None, identities=identities)
    values = {
        day.isoformat(): value if math.isfinite(value) else None
        for day, value in zip(days.tolist(), track.values.tolist(), strict=True)
        if counted is None or day > counted
    }
    return replace(given, fixed=FixedPredictions(previous.trained_through, values))
