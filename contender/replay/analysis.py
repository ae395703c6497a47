"""What a replay has shown: who held the title and why, and what each way of choosing a champion would have cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from contender.replay import champions as replay_title
from contender.replay import rules as replay_rules
from contender.replay import store as replays
from contender.replay.champions import ChampionChange
from contender.replay.setup import ReplayWorkspace, nights_done
from core.config.tasks import Task
from core.db.engine import reachable
from core.db.pipeline_tables import decisions as decided_table
from core.db.pipeline_tables import predictions
from core.jobs.calendars import final_at
from features.arrays import Floats
from training.evaluation import losses as scoring
from training.evaluation.predictions import scoreboard, scored
from training.ledger import decisions
from training.ledger.decisions import Decision
from training.ledger.entries import CHAMPION
from training.reports import diagnostics as faults
from training.reports import explanations as wording
from training.reports import next_steps as outlook
from training.reports.diagnostics import Fault

SERVED = "served"


@dataclass(frozen=True)
class Policy:
    """A way to choose who answers: its loss on every row, and how often the one who answers changed."""

    name: str
    losses: Floats
    changes: int

    @property
    def mean(self) -> float:
        """The mean loss."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class ReplayResult:
    """All of it. `days` are the target dates on which every way is scored, and `ways` begin with what was served.

    `standing` says in words what the last of the decisions came to, `faults` who did not stand for the title then.
    """

    task: Task
    series: str
    source: str
    nights: int
    first_night: date
    last_night: date
    decided: Mapping[str, int]
    changes: tuple[ChampionChange, ...]
    days: tuple[date, ...]
    ways: tuple[Policy, ...]
    contenders: Mapping[str, float]
    standing: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def data(self) -> str:
        """Which series, and from where."""
        return self.series if self.source == self.series else f"{self.series} ({self.source})"

    @property
    def in_words(self) -> str:
        """Which data, how long, and how often the title changed hands."""
        return f"{self.nights:,} nights of {self.data}, {self.first_night} to {self.last_night}; {self._changed}"

    @property
    def _changed(self) -> str:
        if not self.changes:
            return "nobody took the title."
        handed = replay_title.handed_on(self.changes)
        by_hand = sum(change.by_hand for change in handed)
        if not handed:
            return "the title never changed hands."
        of_them = "" if not by_hand else ", by hand" if by_hand == len(handed) else f", {times(by_hand)} by hand"
        return f"the title changed hands {times(len(handed))}{of_them}."

    @property
    def champion(self) -> str | None:
        """Who has the title after the last night."""
        return self.changes[-1].to_contender if self.changes else None


def times(count: int) -> str:
    """How often, in words.

    >>> times(0), times(2), times(1234)
    ('at no time', 'twice', '1,234 times')
    """
    return {0: "at no time", 1: "once", 2: "twice"}.get(count, f"{count:,} times")


def read(engine: sa.Engine, place: ReplayWorkspace) -> ReplayResult:
    """Reads what the nights have stored, as of the last of them.

    The ways have no rows while no answer of the champion has its label.
    """
    task, series = place.task, place.standing.series
    done = nights_done(engine, task)
    changes = replay_title.read(engine, task)
    answered = _answers(engine, task)
    as_of = final_at(task, max(done))
    board = scoring.paired(scored(task, scoreboard(engine, task, series, as_of)), list(task.contenders))
    rows = board.join(answered, on="target_date", how="left", maintain_order="left")
    begin = _first_answered(rows)
    last = decisions.newest(engine, task.name)
    with reachable(), engine.connect() as connection:
        begun = replays.begun(connection, task.name) or {}
    days, ways, means = _ways(task, rows, begin, _served(changes)) if begin else ((), (), {})
    return ReplayResult(
        task=task,
        series=series,
        source=place.standing.source,
        nights=len(done),
        first_night=min(done),
        last_night=max(done),
        decided=_decided(engine, task),
        changes=changes,
        days=days,
        ways=ways,
        contenders=means,
        standing=_standing(last, begun),
        faults=() if last is None else tuple(faults.found(last)),
    )


def _standing(last: Decision | None, begun: Mapping[str, str]) -> str:
    """The last decision in words; where nobody is champion, what is waited for as well.

    A command that it names is that for the replay.
    """
    if last is None:
        return ""
    if {"of", "id"} <= begun.keys():
        last = replace(last, task=f"{begun['of']} --replay {begun['id']}")
    told = [wording.after(last)] if last.champion is not None else outlook.describe(last)
    return " ".join([wording.why(last), *told])


def _decided(engine: sa.Engine, task: Task) -> dict[str, int]:
    """How many decisions there were of each kind, the most first."""
    columns = decided_table.c
    counted = sa.select(columns.outcome, columns.reason, sa.func.count()).where(columns.task == task.name)
    with reachable(), engine.connect() as connection:
        counts = connection.execute(counted.group_by(columns.outcome, columns.reason)).all()
    decided = {f"{outcome} {reason}": count for outcome, reason, count in counts}
    return dict(sorted(decided.items(), key=lambda item: -item[1]))


def _answers(engine: sa.Engine, task: Task) -> pl.DataFrame:
    """The champion's first answer of each target date."""
    columns = predictions.c
    statement = (
        sa.select(columns.target_date, columns.value, columns.contender)
        .ext(distinct_on(columns.target_date))
        .where(columns.task == task.name, columns.alias == CHAMPION)
        .order_by(columns.target_date, columns.made_at)
    )
    with reachable(), engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(statement)]
    schema = {"target_date": pl.Date, "answer": pl.Float64, "holder": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _first_answered(rows: pl.DataFrame) -> int:
    """The first row with an answer that has a row before it to choose by; 0 when there is none."""
    answered = np.flatnonzero(rows["answer"].is_not_null().to_numpy()[1:])
    return int(answered[0]) + 1 if len(answered) else 0


def _served(changes: Sequence[ChampionChange]) -> str:
    """What the first way is called; a person's moves are not evidence, so it says that they are among them."""
    by_hand = sum(change.by_hand for change in changes)
    return f"{SERVED}: the champion by evidence" + (f", moved by hand {times(by_hand)}" if by_hand else "")


def _ways(
    task: Task, rows: pl.DataFrame, begin: int, served_by: str
) -> tuple[tuple[date, ...], tuple[Policy, ...], dict[str, float]]:
    """Every way on the same rows: those with an answer of the champion, and of every contender, and a label."""
    names, labels = list(task.contenders), rows["label"].to_numpy()
    losses = np.column_stack([scoring.losses(task, labels, rows[name].to_numpy()) for name in names])
    answered = rows["answer"].is_not_null().to_numpy()[begin:]
    served = scoring.losses(task, labels, rows["answer"].to_numpy())[begin:]
    holder = rows["holder"].to_list()[begin:]
    places = np.array([names.index(name) for name, is_there in zip(holder, answered, strict=True) if is_there])
    means = dict(zip(names, losses[begin:][answered].mean(axis=0).tolist(), strict=True))
    best = min(means, key=lambda name: means[name])

    def way(name: str, holders: replay_rules.Holders) -> Policy:
        return Policy(name, replay_rules.losses_of(losses, begin, holders)[answered], replay_rules.changes(holders))

    def always(contender: str) -> replay_rules.Holders:
        return np.full(len(losses) - begin, names.index(contender))

    ways = (
        Policy(served_by, served[answered], replay_rules.changes(places)),
        way(f"always the baseline ({task.baseline})", always(task.baseline)),
        way(f"the best contender, known in hindsight ({best})", always(best)),
        way("lower mean so far wins", replay_rules.lowest_mean_so_far(losses, begin)),
        way(
            f"lower mean by {replay_rules.MARGIN} on the last {replay_rules.RECENT_ROWS} rows wins",
            replay_rules.lower_on_the_last_rows(losses, begin, int(places[0])),
        ),
    )
    days = tuple(day for day, is_there in zip(rows["target_date"].to_list()[begin:], answered, strict=True) if is_there)
    return days, ways, dict(sorted(means.items(), key=lambda item: item[1]))
