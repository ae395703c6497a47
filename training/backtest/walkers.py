"""The two ways to walk: learning every row, or refitting on a grid. Both predict a row only from labels known then."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import groupby
from typing import Protocol

import numpy as np

from core.config.tasks import Contender, Task
from features.arrays import Floats, History
from training.backtest import replay
from training.backtest.refits import Refit, Refitted, grid_at
from training.backtest.replay import LearnerReplay
from training.backtest.state import Position, Stand, Start
from training.learners.factory import canonical, row_model
from training.learners.learner import Learner
from training.models.base import Model, deserialize
from training.models.online import DEFAULT_SERIES


@dataclass(frozen=True, eq=False)
class WalkResult:
    """A finished walk over the rows from `begin` on: of each its value, and the last target date learned before it.

    `learner` is None for a batch contender.
    """

    begin: int
    values: Floats
    trained_through: list[date | None]
    position: Position
    model: Model | None
    stand: Stand
    learner: Learner | None = None


class Walker(Protocol):
    """A walk that is planned; its refits may be done anywhere."""

    refits: list[Refit]

    def finish(self, done: list[Refitted]) -> WalkResult:
        """Walks, given the refits' results in their order."""
        ...


def walker(
    task: Task, name: str, history: History, position: Position | None, tail: LearnerReplay | None = None
) -> Walker:
    """Plans the walk of one contender from its position on.

    `tail`: where its learner stands in the event log; without one the learner is kept in the position.
    """
    start = Start.on(history, position)
    contender = task.contenders[name]
    if contender.kind == "batch":
        return BatchWalker(contender, history, start)
    return LearnerWalker(task, name, history, start, tail)


class LearnerWalker:
    """Lets a learner go over the events: it predicts each row, then learns it.

    A row whose label is not known is asked for, and so is one whose predecessor's label was not known yet on its own
    event date: then the learner has not had that one.
    """

    def __init__(self, task: Task, name: str, history: History, start: Start, tail: LearnerReplay | None) -> None:
        self.refits: list[Refit] = []
        self.history = history
        self.start = start
        self.is_kept = tail is None
        self.tail = tail or replay.of_history(task, name, history, start)

    def finish(self, done: list[Refitted]) -> WalkResult:  # noqa: ARG002 (nothing is refitted)
        """Predict, then learn."""
        history, tail = self.history, self.tail
        begin = max(self.start.begin, history.rows_through(tail.learned_through))
        known = tail.known_on(history.event_days[begin:]).tolist()
        places = tail.place_of(history.target_days[begin:]).tolist()
        said: list[float | None] = [None] * len(known)
        for i, (count, place) in enumerate(zip(known, places, strict=True)):
            if place != count:
                tail.apply(count)
                (features,) = history.named(history.rows[begin + i : begin + i + 1])
                said[i] = tail.learner.ask(features, DEFAULT_SERIES)
        tail.apply(len(tail.days))
        for i, (count, place) in enumerate(zip(known, places, strict=True)):
            if place == count:
                said[i] = tail.said(place)
        trained_through = [tail.through(count) for count in known]
        return self._steps(begin, np.array(said, dtype=np.float64), trained_through)

    def _steps(self, begin: int, values: Floats, trained_through: list[date | None]) -> WalkResult:
        tail, learner = self.tail, self.tail.learner
        stand = Stand(
            predicted_through=_predicted_through(self.history, self.start),
            trained_through=tail.through(tail.applied),
            rows_trained=learner.rows_learned,
            model=canonical(learner) if self.is_kept else None,
        )
        through = stand.trained_through or self.start.position.learned_through
        position = Position(through, learner.seq, stand.dump())
        return WalkResult(begin, values, trained_through, position, row_model(learner).model, stand, learner)


class BatchWalker:
    """Predicts all rows between two points of the grid with the model that was fitted at the first of them."""

    def __init__(self, contender: Contender, history: History, start: Start) -> None:
        self.history = history
        self.start = start
        self.contender = contender
        self.current = grid_at(self.contender, len(history.labels) + start.forgotten)
        self.blocks = self._blocks()
        self.refits = [
            self._refit(grid, begin, end)
            for grid, begin, end in self.blocks
            if grid is not None and grid != start.stand.grid
        ]

    def finish(self, done: list[Refitted]) -> WalkResult:
        """Puts the blocks together."""
        history, stand = self.history, self.start.stand
        results = iter(zip(self.refits, done, strict=True))
        values: list[Floats] = []
        trained_through: list[date | None] = []
        for grid, begin, end in self.blocks:
            if grid is None:
                values.append(np.full(end - begin, np.nan))
                through = None
            elif grid == self.start.stand.grid:
                values.append(_thawed(self.start.stand.model or b"").predict(history.rows[begin:end]))
                through = self.start.stand.trained_through
            else:
                refit, result = next(results)
                values.append(result.values)
                through = history.learned_through(refit.last)
                if refit.keep:
                    stand = Stand(None, through, refit.last - refit.first, grid, result.model)
            trained_through += [through] * (end - begin)
        stand = Stand(
            _predicted_through(history, self.start), stand.trained_through, stand.rows_trained, stand.grid, stand.model
        )
        model = None if stand.model is None else _thawed(stand.model)
        values_ = np.concatenate(values) if values else np.empty(0)
        return WalkResult(self.start.begin, values_, trained_through, self.start.end(history, stand), model, stand)

    def _blocks(self) -> list[tuple[int | None, int, int]]:
        """Point of the grid, first row and end of each run of rows that one model predicts."""
        history, begin = self.history, self.start.begin
        known = history.labels_known_on(history.event_days[begin:]) + self.start.forgotten
        blocks: list[tuple[int | None, int, int]] = []
        for grid, run in groupby(known.tolist(), lambda labels: grid_at(self.contender, labels)):
            end = begin + len(list(run))
            blocks.append((grid, begin, end))
            begin = end
        if self.current not in {self.start.stand.grid, None, *(grid for grid, _, _ in blocks)}:
            blocks.append((self.current, begin, begin))
        return blocks

    def _refit(self, grid: int, begin: int, end: int) -> Refit:
        last = grid - self.start.forgotten
        first = max(0, last - self.contender.window) if self.contender.window else 0
        return Refit(grid, first, last, begin, end, keep=grid == self.current)


@lru_cache(maxsize=16)
def _thawed(content: bytes) -> Model:
    """A fitted model, which nothing changes: whoever asks with the same bytes again is given the same one."""
    model: Model = deserialize(content)
    return model


def _predicted_through(history: History, start: Start) -> date | None:
    days = [day for day in (start.stand.predicted_through, history.last_target()) if day is not None]
    return max(days, default=None)
