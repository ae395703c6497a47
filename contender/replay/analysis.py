"""What a replay has shown: the champions, and the loss that each policy for choosing a champion would have had."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl
import sqlalchemy as sa

from contender.replay import champion_predictions, champions, rules, store
from contender.replay.champions import ChampionChange
from contender.replay.setup import ReplayWorkspace, finished_sessions
from core.config.tasks import Task
from core.db.engine import connection, fetch_all
from core.db.pipeline_tables import decisions as decisions_table
from core.jobs.calendars import final_at
from features.arrays import Floats
from training.evaluation import losses as scoring
from training.evaluation.predictions import scoreboard, scored
from training.ledger import decisions
from training.ledger.decisions import Decision
from training.reports import diagnostics, explanations, next_steps
from training.reports.diagnostics import Fault

SERVED = "served"


@dataclass(frozen=True)
class Policy:
    """A way to choose the champion: its loss on every row, and how often its champion changed."""

    name: str
    losses: Floats
    changes: int

    @property
    def mean(self) -> float:
        """The mean loss."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class ReplayResult:
    """The result of a replay.

    Attributes:
        task: under the replay's name.
        series: the stored series that was replayed.
        source: where it came from.
        sessions: how many were run.
        first_session: the date of the first one.
        last_session: the date of the last one.
        decided: the number of decisions of each kind.
        changes: every change of the champion.
        days: the target dates on which all policies are scored.
        policies: what was served comes first, the baseline second; empty while no prediction has its label.
        contenders: the mean loss of each contender on those dates.
        last_decision: an explanation of it, in sentences.
        faults: contenders that were not eligible then, and why.

    """

    task: Task
    series: str
    source: str
    sessions: int
    first_session: date
    last_session: date
    decided: Mapping[str, int]
    changes: tuple[ChampionChange, ...]
    days: tuple[date, ...]
    policies: tuple[Policy, ...]
    contenders: Mapping[str, float]
    last_decision: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def data(self) -> str:
        """The series, and its source where that is named differently."""
        return self.series if self.source == self.series else f"{self.series} ({self.source})"

    @property
    def summary(self) -> str:
        """The data, how many sessions, and how often the champion changed."""
        extent = f"{self.first_session} to {self.last_session}"
        return f"{self.sessions:,} sessions of {self.data}, {extent}; {self._changed}"

    @property
    def _changed(self) -> str:
        if not self.changes:
            return "no contender became champion."
        changed = champions.contender_changes(self.changes)
        by_hand = sum(change.by_hand for change in changed)
        if not changed:
            return "the champion never changed."
        of_them = "" if not by_hand else ", by hand" if by_hand == len(changed) else f", {times(by_hand)} by hand"
        return f"the champion changed {times(len(changed))}{of_them}."

    @property
    def champion(self) -> str | None:
        """The champion after the last session."""
        return self.changes[-1].to_contender if self.changes else None


def times(count: int) -> str:
    """How often, in words.

    >>> times(0), times(2), times(1234)
    ('at no time', 'twice', '1,234 times')
    """
    return {0: "at no time", 1: "once", 2: "twice"}.get(count, f"{count:,} times")


def read(engine: sa.Engine, workspace: ReplayWorkspace) -> ReplayResult:
    """Read what the sessions have stored, as of the last of them."""
    task, active = workspace.task, workspace.active
    done = finished_sessions(engine, task)
    predicted = champion_predictions.read(engine, task.name)
    changes = champions.read(engine, task, predicted)
    board = scored(task, scoreboard(engine, task, active.series, final_at(task, max(done))))
    # The first prediction of a date is the one that was served; a rollback may have added another since.
    first = predicted.unique("target_date", keep="first", maintain_order=True)
    rows = scoring.paired(board, list(task.contenders)).join(
        first.select("target_date", "answer", "holder"), on="target_date", how="left", maintain_order="left"
    )
    begin = _first_predicted(rows)
    last = decisions.newest(engine, task.name)
    with connection(engine) as opened:
        options = store.stored_options(opened, task.name) or {}
    days, policies, means = _policies(task, rows, begin, _served(changes)) if begin else ((), (), {})
    return ReplayResult(
        task=task,
        series=active.series,
        source=active.source,
        sessions=len(done),
        first_session=min(done),
        last_session=max(done),
        decided=_decided(engine, task),
        changes=changes,
        days=days,
        policies=policies,
        contenders=means,
        last_decision=_explained(last, options),
        faults=() if last is None else tuple(diagnostics.found(last)),
    )


def _explained(last: Decision | None, options: Mapping[str, str]) -> str:
    """The last decision in sentences; without a champion, what is missing for one as well."""
    if last is None:
        return ""
    if {"of", "id"} <= options.keys():
        # The sentences contain commands, which need the task's own name and the option for the replay.
        last = replace(last, task=f"{options['of']} --replay {options['id']}")
    following = [explanations.after(last)] if last.champion is not None else next_steps.describe(last)
    return " ".join([explanations.why(last), *following])


def _decided(engine: sa.Engine, task: Task) -> dict[str, int]:
    """The number of decisions by outcome and reason, the most frequent first."""
    columns = decisions_table.c
    counted = sa.select(columns.outcome, columns.reason, sa.func.count()).where(columns.task == task.name)
    counts = fetch_all(engine, counted.group_by(columns.outcome, columns.reason))
    decided = {f"{outcome} {reason}": count for outcome, reason, count in map(tuple, counts)}
    return dict(sorted(decided.items(), key=lambda item: -item[1]))


def _first_predicted(rows: pl.DataFrame) -> int:
    """The first row with a prediction of the champion and a row before it to choose by; 0 when there is none."""
    predicted = np.flatnonzero(rows["answer"].is_not_null().to_numpy()[1:])
    return int(predicted[0]) + 1 if len(predicted) else 0


def _served(changes: Sequence[ChampionChange]) -> str:
    """The name of the first policy, which says how often a person moved the alias: that is not by evidence."""
    by_hand = sum(change.by_hand for change in changes)
    return f"{SERVED}: the champion by evidence" + (f", moved by hand {times(by_hand)}" if by_hand else "")


def _policies(
    task: Task, rows: pl.DataFrame, begin: int, served_name: str
) -> tuple[tuple[date, ...], tuple[Policy, ...], dict[str, float]]:
    """The dates, every policy on them, and the mean loss of each contender.

    All are on the same rows: from `begin` on those with a label, the champion's prediction, and every contender's.
    """
    names, labels = list(task.contenders), rows["label"].to_numpy()
    losses = np.column_stack([scoring.losses(task, labels, rows[name].to_numpy()) for name in names])
    predicted = rows["answer"].is_not_null().to_numpy()[begin:]
    served = scoring.losses(task, labels, rows["answer"].to_numpy())[begin:]
    holder = rows["holder"].to_list()[begin:]
    holders = np.array([names.index(name) for name, is_there in zip(holder, predicted, strict=True) if is_there])
    means = dict(zip(names, losses[begin:][predicted].mean(axis=0).tolist(), strict=True))
    # Known only in hindsight: a bound that no policy can be expected to reach.
    best = min(means, key=lambda name: means[name])

    def policy(name: str, chosen: rules.Holders) -> Policy:
        return Policy(name, rules.losses_of(losses, begin, chosen)[predicted], rules.changes(chosen))

    def always(contender: str) -> rules.Holders:
        return np.full(len(losses) - begin, names.index(contender))

    policies = (
        Policy(served_name, served[predicted], rules.changes(holders)),
        policy(f"always the baseline ({task.baseline})", always(task.baseline)),
        policy(f"the best contender, known in hindsight ({best})", always(best)),
        policy("the lowest mean so far", rules.lowest_mean_so_far(losses, begin)),
        policy(
            f"the lowest mean of the last {rules.RECENT_ROWS} rows, if lower by {rules.MARGIN}",
            rules.lower_on_the_last_rows(losses, begin, int(holders[0])),
        ),
    )
    dates = rows["target_date"].to_list()[begin:]
    days = tuple(day for day, is_there in zip(dates, predicted, strict=True) if is_there)
    return days, policies, dict(sorted(means.items(), key=lambda item: item[1]))
