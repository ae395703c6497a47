"""Validation of rows before they enter the log: against the task's declaration, and against the rows before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from core.config.pushed_tasks import Guard, PushedTask
from features.arrays import FeatureRow
from training.event_log.events import NewEvent

EVERY_ROW_UNTIL = 1_000
THEN_EVERY = 16
_SNAPSHOT_EVERY = 8
TARGET: Final = "\0target"
"""The target among the features: a name that none of them has."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a row is quarantined: a reason to test for, and a sentence."""

    reason: str
    detail: str


class RunningStats:
    """Running mean and variance of each feature and of the target (Welford's method), of rows that were learned.

    They are kept with the learner, so every replica has the same. Each of the first EVERY_ROW_UNTIL rows counts, then
    one of THEN_EVERY.

    Attributes:
        rows: how many were learned.
        moments: by name the count, the mean, and the sum of squared differences from it.
        snapshot: the moments after `snapshot_rows` rows, from which limits are computed. It is taken at the same rows
            in every replica, so that all of them accept and refuse alike.

    """

    def __init__(self) -> None:
        self.rows = 0
        self.moments: dict[str, list[float]] = {}
        self.snapshot: dict[str, tuple[float, float, float]] = {}
        self.snapshot_rows = 0

    def learn(self, features: FeatureRow, target: float) -> None:
        """Takes one learned row."""
        self.rows += 1
        if self.rows > EVERY_ROW_UNTIL and self.rows % THEN_EVERY:
            return  # the guard needs the scale of the values, not their last digit
        for name, value in features.items():
            self._add(name, value)
        self._add(TARGET, target)
        if self.rows - self.snapshot_rows >= max(_SNAPSHOT_EVERY, self.snapshot_rows // 100):
            self.snapshot = {name: (count, mean, squares) for name, (count, mean, squares) in self.moments.items()}
            self.snapshot_rows = self.rows

    def limits(self, guard: Guard) -> dict[str, tuple[float, float]]:
        """Lowest and highest value that the guard accepts, by name; none for under `min_rows` rows, or all equal."""
        found = {}
        for name, (count, mean, squares) in self.snapshot.items():
            if count >= guard.min_rows and squares > 0:
                reach = guard.deviations * sqrt(squares / count)
                found[name] = (mean - reach, mean + reach)
        return found

    def _add(self, name: str, value: float) -> None:
        held = self.moments.get(name)
        if held is None:
            held = self.moments[name] = [0.0, 0.0, 0.0]
        held[0] += 1
        before = value - held[1]
        held[1] += before / held[0]
        held[2] += before * (value - held[1])


class RowValidator:
    """Validates rows of one task."""

    def __init__(self, task: PushedTask) -> None:
        self._task = task
        self._limits: dict[str, tuple[float, float]] = {}
        self._limits_of: object = None
        self._declares_features = bool(task.inputs) or task.others == "refuse"
        declared = task.target
        self._declares_target = declared.kind == "binary" or (declared.minimum, declared.maximum) != (None, None)

    def undeclared(self, event: NewEvent) -> Rejection | None:
        """Why a row is not what the task declares; None when it is."""
        if self._declares_features and event.features is not None:
            found = _features(self._task, event.features)
            if found is not None:
                return found
        return _target(self._task, event.target) if self._declares_target and event.target is not None else None

    def validate(self, stats: RunningStats, events: Sequence[NewEvent]) -> list[Rejection | None]:
        """Why each row may not enter; None where it may."""
        if not self._task.guard.deviations:
            return [self.undeclared(event) for event in events]
        if self._limits_of is not stats.snapshot:  # a new one: limits cost more than the look at a row
            self._limits_of = stats.snapshot
            self._limits = stats.limits(self._task.guard)
        limits = self._limits
        if not (self._declares_features or self._declares_target):
            return [self._outlier(limits, event) for event in events]
        return [self.undeclared(event) or self._outlier(limits, event) for event in events]

    def _outlier(self, limits: Mapping[str, tuple[float, float]], event: NewEvent) -> Rejection | None:
        if event.features is not None:
            for name, value in event.features.items():
                if name in limits:
                    low, high = limits[name]
                    if not low <= value <= high:
                        return self._rejection(name, value, (low, high))
        limit = limits.get(TARGET) if event.target is not None else None
        if limit is not None and event.target is not None and not limit[0] <= event.target <= limit[1]:
            return self._rejection("The target", event.target, limit)
        return None

    def _rejection(self, name: str, value: float, limit: tuple[float, float]) -> Rejection:
        allowed = self._task.guard.deviations
        away = abs(value - sum(limit) / 2) / (limit[1] - limit[0]) * 2 * allowed
        return Rejection(
            "outlier",
            f"{name} is {value:g}, {away:.0f} standard deviations from the mean of what came before; "
            f"the guard lets {allowed:g} pass.",
        )


def _features(task: PushedTask, features: FeatureRow) -> Rejection | None:
    for name, declared in task.inputs.items():
        if name not in features:
            if declared.required:
                return Rejection("missing_feature", f"{name} is missing; the task {task.name} requires it.")
            continue
        if found := _outside(name, features[name], declared.minimum, declared.maximum):
            return found
    if task.others == "refuse":
        for name in features:
            if name not in task.inputs:
                return Rejection(
                    "unknown_feature", f"{name} is not a feature of {task.name}: {', '.join(task.inputs)}."
                )
    return None


def _target(task: PushedTask, target: float) -> Rejection | None:
    if task.target.kind == "binary" and target not in (0.0, 1.0):
        return Rejection("not_binary", f"The target is {target:g}; the task {task.name} takes 0 and 1.")
    return _outside("The target", target, task.target.minimum, task.target.maximum)


def _outside(name: str, value: float, minimum: float | None, maximum: float | None) -> Rejection | None:
    if minimum is not None and value < minimum:
        return Rejection("below_minimum", f"{name} is {value:g}, below the minimum {minimum:g}.")
    if maximum is not None and value > maximum:
        return Rejection("above_maximum", f"{name} is {value:g}, above the maximum {maximum:g}.")
    return None
