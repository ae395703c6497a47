"""The two ways to walk: learning every row, or refitting on a grid. Both predict a row only from labels known then."""

from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from itertools import groupby
from typing import Protocol

import numpy as np

from core.config.tasks import Contender, Task
from features.arrays import Floats, History
from training.backtest.replay import LearnerReplay, replay_history
from training.backtest.state import WalkState
from training.learners.factory import canonical, stored_model
from training.learners.learner import Learner
from training.models.base import Batch, Model, deserialize, serialize
from training.models.online import DEFAULT_SERIES


@dataclass(frozen=True)
class Refit:
    """One model: fitted on the labelled rows from `first` up to `last` (excluded), it predicts rows `begin` to `end`.

    `grid` counts the labels ever seen by then, and names the refit whatever part of the history is at hand.
    """

    grid: int
    first: int
    last: int
    begin: int
    end: int
    keep: bool


@dataclass(frozen=True, eq=False)
class RefitResult:
    """The predictions of a refit, and the model's bytes where it is to be kept."""

    values: Floats
    model: bytes | None


@dataclass(frozen=True, eq=False)
class WalkResult:
    """A finished walk over the rows from `begin` on: of each its value, and the last target date learned before it.

    `learner` is None for a batch contender.
    """

    begin: int
    values: Floats
    trained_through: list[date | None]
    state: WalkState
    model: Model | None
    learner: Learner | None = None


class Walker(Protocol):
    """A planned walk; its refits may be done in any process."""

    refits: list[Refit]

    def finish(self, done: list[RefitResult]) -> WalkResult:
        """Walks, given the refits' results in their order."""
        ...


def walker(
    task: Task, name: str, history: History, state: WalkState | None, replay: LearnerReplay | None = None
) -> Walker:
    """Plans the walk of one contender.

    Args:
        task: declares the contender.
        name: the contender's.
        history: the rows to walk over.
        state: of its last walk; None before the first.
        replay: its learner with the event log that follows; without one the learner is kept in the state.

    """
    state = state or WalkState()
    contender = task.contenders[name]
    if contender.kind == "batch":
        return BatchWalker(contender, history, state)
    return LearnerWalker(task, name, history, state, replay)


class LearnerWalker:
    """Lets a learner go over the events: it predicts each row, then learns it.

    A row without a label is no event, and one whose predecessor's label came after its own event date must not be
    predicted by a learner that has learned that label: both are predicted apart, before the learner goes on.
    """

    def __init__(self, task: Task, name: str, history: History, state: WalkState, replay: LearnerReplay | None) -> None:
        self.refits: list[Refit] = []
        self.history = history
        self.state = state
        self.keeps_learner = replay is None
        self.replay = replay or replay_history(task, name, history, state)

    def finish(self, done: list[RefitResult]) -> WalkResult:  # noqa: ARG002 (nothing is refitted)
        """Predict, then learn."""
        history, replay = self.history, self.replay
        begin = max(self.state.first_row(history), history.rows_through(replay.learned_through))
        known = replay.known_on(history.event_days[begin:]).tolist()
        events = replay.index_of(history.target_days[begin:]).tolist()
        values: list[float | None] = [None] * len(known)
        for i, (count, event) in enumerate(zip(known, events, strict=True)):
            # No event (a row without a label), or one whose predecessor's label came late, which a learner that knows
            # that label must not predict.
            if event != count:
                replay.apply(count)
                (features,) = history.named(history.rows[begin + i : begin + i + 1])
                values[i] = replay.learner.predict(features, DEFAULT_SERIES)
        replay.apply(len(replay.days))
        for i, (count, event) in enumerate(zip(known, events, strict=True)):
            if event == count:
                values[i] = replay.prediction(event)
        trained_through = [replay.through(count) for count in known]
        learner, newest = replay.learner, replay.through(replay.applied)
        state = WalkState(
            learned_through=newest or self.state.learned_through,
            rows_learned=learner.seq,
            predicted_through=self.state.predicted_with(history),
            trained_through=newest,
            rows_trained=learner.rows_learned,
            model=canonical(learner) if self.keeps_learner else None,
        )
        model = stored_model(learner).model
        return WalkResult(begin, np.array(values, dtype=np.float64), trained_through, state, model, learner)


class BatchWalker:
    """Predicts all rows between two points of the grid with the model that was fitted at the first of them."""

    def __init__(self, contender: Contender, history: History, state: WalkState) -> None:
        self.history = history
        self.state = state
        self.contender = contender
        self.begin = state.first_row(history)
        # Labels learned that are no longer at hand: the grid counts them too. Fewer than none when rows entered the
        # past later: these are in the history, but were never learned.
        self.forgotten = state.rows_learned - state.labels_learned(history)
        self.current = grid_at(self.contender, len(history.labels) + self.forgotten)
        self.blocks = self._blocks()
        self.refits = [
            self._refit(grid, begin, end) for grid, begin, end in self.blocks if grid is not None and grid != state.grid
        ]

    def finish(self, done: list[RefitResult]) -> WalkResult:
        """Puts the blocks together."""
        history, state = self.history, self.state
        results = iter(zip(self.refits, done, strict=True))
        values: list[Floats] = []
        trained_through: list[date | None] = []
        for grid, begin, end in self.blocks:
            if grid is None:
                values.append(np.full(end - begin, np.nan))
                through = None
            elif grid == self.state.grid:
                values.append(_deserialized(self.state.model or b"").predict(history.rows[begin:end]))
                through = self.state.trained_through
            else:
                refit, result = next(results)
                values.append(result.values)
                through = history.learned_through(refit.last)
                if refit.keep:
                    state = replace(
                        state,
                        trained_through=through,
                        rows_trained=refit.last - refit.first,
                        grid=grid,
                        model=result.model,
                    )
            trained_through += [through] * (end - begin)
        labels, is_new = len(history.labels), len(history.labels) > self.state.labels_learned(history)
        state = replace(
            state,
            learned_through=history.learned_through(labels) if is_new else state.learned_through,
            rows_learned=labels + self.forgotten,
            predicted_through=state.predicted_with(history),
            is_foreign=False,
        )
        model = None if state.model is None else _deserialized(state.model)
        predictions = np.concatenate(values) if values else np.empty(0)
        return WalkResult(self.begin, predictions, trained_through, state, model)

    def _blocks(self) -> list[tuple[int | None, int, int]]:
        """Point of the grid, first row and end of each run of rows that one model predicts."""
        history, begin = self.history, self.begin
        known = history.labels_known_on(history.event_days[begin:]) + self.forgotten
        blocks: list[tuple[int | None, int, int]] = []
        for grid, run in groupby(known.tolist(), lambda labels: grid_at(self.contender, labels)):
            end = begin + len(list(run))
            blocks.append((grid, begin, end))
            begin = end
        if self.current not in {self.state.grid, None, *(grid for grid, _, _ in blocks)}:
            blocks.append((self.current, begin, begin))  # due, though it predicts no row of this history yet
        return blocks

    def _refit(self, grid: int, begin: int, end: int) -> Refit:
        last = grid - self.forgotten
        first = max(0, last - self.contender.window) if self.contender.window else 0
        return Refit(grid, first, last, begin, end, keep=grid == self.current)


def grid_at(contender: Contender, labels: int) -> int | None:
    """The newest point of the grid of refits when so many labels are known; None before the first fit.

    >>> contender = Contender(kind="batch", procedure="ridge", first_fit=20, refit_every=10)
    >>> [grid_at(contender, labels) for labels in (19, 20, 29, 30)]
    [None, 20, 20, 30]
    """
    if labels < contender.first_fit:
        return None
    return labels - (labels - contender.first_fit) % contender.refit_every


def run_refit(contender: Batch, history: History, refit: Refit) -> RefitResult:
    """Fits one model of the grid and predicts with it."""
    model = contender.fit(history.labelled_rows[refit.first : refit.last], history.labels[refit.first : refit.last])
    values = model.predict(history.rows[refit.begin : refit.end]) if refit.end > refit.begin else np.empty(0)
    # The bytes of a model that is not kept would only travel between processes.
    return RefitResult(values, serialize(model) if refit.keep else None)


@lru_cache(maxsize=16)
def _deserialized(content: bytes) -> Model:
    """A fitted model, never changed: equal bytes are unpickled once."""
    model: Model = deserialize(content)
    return model
