"""Who may enter the log: a row is held against its task's declaration and against what came before."""

from dataclasses import dataclass
from math import sqrt

from core.pushed import Guard, PushedTask
from training.events import Draft, Features

EVERY_ROW_UNTIL = 1_000
THEN_EVERY = 8
TARGET = "target"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row is quarantined: a reason to test for, and a sentence."""

    reason: str
    detail: str


class Ranges:
    """Running mean and variance of each feature and of the target (Welford's method), of rows that were learned.

    They are kept with the learner, so every replica has the same. Each of the first EVERY_ROW_UNTIL rows counts, then
    one of THEN_EVERY: the guard needs the size of things, not their last digit.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.of: dict[str, list[float]] = {}

    def learn(self, features: Features, target: float) -> None:
        """Takes one learned row."""
        self.rows += 1
        if self.rows > EVERY_ROW_UNTIL and self.rows % THEN_EVERY:
            return
        for name, value in features.items():
            self._add(name, value)
        self._add(TARGET, target)

    def deviations(self, name: str, value: float, min_rows: int) -> float:
        """How many standard deviations a value lies from the mean; 0 before `min_rows` and while all were equal."""
        held = self.of.get(name)
        if held is None or held[0] < min_rows or held[2] <= 0:
            return 0.0
        return abs(value - held[1]) / sqrt(held[2] / held[0])

    def _add(self, name: str, value: float) -> None:
        held = self.of.get(name)
        if held is None:
            held = self.of[name] = [0.0, 0.0, 0.0]
        held[0] += 1
        before = value - held[1]
        held[1] += before / held[0]
        held[2] += before * (value - held[1])


def refusal(task: PushedTask, ranges: Ranges, draft: Draft) -> Refusal | None:
    """Why the row may not enter; None when it may."""
    if draft.features is not None and (found := _features(task, draft.features)):
        return found
    if draft.target is not None and (found := _target(task, draft.target)):
        return found
    return _outlier(task.guard, ranges, draft)


def _features(task: PushedTask, features: Features) -> Refusal | None:
    for name, declared in task.inputs.items():
        if name not in features:
            if declared.required:
                return Refusal("missing_feature", f"{name} is missing; the task {task.name} requires it.")
            continue
        if found := _outside(name, features[name], declared.minimum, declared.maximum):
            return found
    if task.others == "refuse":
        for name in features:
            if name not in task.inputs:
                return Refusal("unknown_feature", f"{name} is not a feature of {task.name}: {', '.join(task.inputs)}.")
    return None


def _target(task: PushedTask, target: float) -> Refusal | None:
    if task.target.kind == "binary" and target not in (0.0, 1.0):
        return Refusal("not_binary", f"The target is {target:g}; the task {task.name} takes 0 and 1.")
    return _outside("The target", target, task.target.minimum, task.target.maximum)


def _outside(name: str, value: float, minimum: float | None, maximum: float | None) -> Refusal | None:
    if minimum is not None and value < minimum:
        return Refusal("below_minimum", f"{name} is {value:g}, below the minimum {minimum:g}.")
    if maximum is not None and value > maximum:
        return Refusal("above_maximum", f"{name} is {value:g}, above the maximum {maximum:g}.")
    return None


def _outlier(guard: Guard, ranges: Ranges, draft: Draft) -> Refusal | None:
    if not guard.deviations:
        return None
    values = dict(draft.features or {})
    if draft.target is not None:
        values[TARGET] = draft.target
    for name, value in values.items():
        away = ranges.deviations(name, value, guard.min_rows)
        if away > guard.deviations:
            return Refusal(
                "outlier",
                f"{name} is {value:g}, {away:.0f} standard deviations from what came before; "
                f"the guard lets {guard.deviations:g} pass.",
            )
    return None
