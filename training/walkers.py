"""The two ways to walk: learning every row, or refitting on a grid. Both predict a row only from labels known then."""

from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Protocol

import numpy as np

from core.tasks import Task
from training.contenders import make
from training.history import History
from training.positions import Position, Stand, Start, freeze, thaw
from training.procedures import Batch, Floats, Incremental, Model
from training.refits import Refit, Refitted, grid_at


@dataclass(frozen=True, eq=False)
class Steps:
    """A finished walk over the rows from `begin` on: of each its value, and the last target date learned before it."""

    begin: int
    values: Floats
    trained_through: list[date | None]
    position: Position
    model: Model | None
    stand: Stand


class Walker(Protocol):
    """A walk that is planned; its refits may be done anywhere."""

    refits: list[Refit]

    def finish(self, done: list[Refitted]) -> Steps:
        """Walks, given the refits' results in their order."""
        ...


def walker(task: Task, name: str, history: History, position: Position | None) -> Walker:
    """Plans the walk of one contender from its position on."""
    start = Start.on(history, position)
    contender = make(task, name)
    if isinstance(contender, Batch):
        return BatchWalker(task, name, history, start)
    return IncrementalWalker(contender, history, start)


class IncrementalWalker:
    """Predicts a row, then learns the labels that the next row may know of."""

    def __init__(self, model: Incremental, history: History, start: Start) -> None:
        self.refits: list[Refit] = []
        self.history = history
        self.start = start
        self.model = model
        if start.stand.model is not None:
            self.model = thaw(start.stand.model)
        else:
            self._learn(0, start.learned)

    def finish(self, done: list[Refitted]) -> Steps:  # noqa: ARG002 (nothing is refitted)
        """Predict, then learn."""
        history, learned = self.history, self.start.learned
        values: list[float] = []
        trained_through: list[date | None] = []
        through = self.start.position.learned_through
        known = history.labels_known_on(history.event_days)
        for row in range(self.start.begin, len(history.rows)):
            if known[row] > learned:
                through = self._learn(learned, known[row])
                learned = int(known[row])
            values.append(float(self.model.predict(history.rows[row : row + 1])[0]))
            trained_through.append(through)
        if len(history.labels) > learned:
            through = self._learn(learned, len(history.labels))
        stand = Stand(
            predicted_through=_predicted_through(history, self.start),
            trained_through=through,
            rows_trained=len(history.labels) + self.start.forgotten,
            model=freeze(self.model),
        )
        values_ = np.array(values, dtype=np.float64)
        return Steps(self.start.begin, values_, trained_through, self.start.end(history, stand), self.model, stand)

    def _learn(self, first: int, last: int) -> date | None:
        for row in range(first, last):
            self.model.learn(self.history.labelled_rows[row], float(self.history.labels[row]))
        return self.history.learned_through(last) if last else None


class BatchWalker:
    """Predicts all rows between two points of the grid with the model that was fitted at the first of them."""

    def __init__(self, task: Task, name: str, history: History, start: Start) -> None:
        self.history = history
        self.start = start
        self.contender = task.contenders[name]
        self.current = grid_at(self.contender, len(history.labels) + start.forgotten)
        self.blocks = self._blocks()
        self.refits = [
            self._refit(grid, begin, end)
            for grid, begin, end in self.blocks
            if grid is not None and grid != start.stand.grid
        ]

    def finish(self, done: list[Refitted]) -> Steps:
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
                values.append(thaw(self.start.stand.model or b"").predict(history.rows[begin:end]))
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
        model = None if stand.model is None else thaw(stand.model)
        values_ = np.concatenate(values) if values else np.empty(0)
        return Steps(self.start.begin, values_, trained_through, self.start.end(history, stand), model, stand)

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


def _predicted_through(history: History, start: Start) -> date | None:
    days = [day for day in (start.stand.predicted_through, history.last_target()) if day is not None]
    return max(days, default=None)
