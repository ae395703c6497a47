"""Alerts: what a person has to see to, for as long as it lasts, told in `/info`, `/health` and `/metrics`.

Each worker finds out for itself; `contender_alerts` is 1 when any of them has found it.
"""

import threading
from dataclasses import dataclass
from typing import Literal, get_args

from serving.runtime.prometheus import Metrics

Name = Literal["champion_lost", "champion_refused", "guard_moved"]
"""`champion_lost`: MLflow answers and has no champion alias where there was one; the last good copy serves.

`champion_refused`: the alias stands on a version that must not be served, or cannot be loaded; what served serves on.

`guard_moved`: the gate's guard gave the title back to the one before, and it stands there still.
"""
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True)
class Alert:
    """What is wrong, and what to do about it, in sentences."""

    alert: Name
    problem: str
    remedy: str


class Alerts:
    """The alerts of one worker, by task. Raised and cleared by the threads that follow, read by every request."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.alerts
        self._writing = threading.Lock()
        self._of: dict[str, tuple[Alert, ...]] = {}

    def watch(self, task: str) -> None:
        """Lets the metrics say of a task that all is well, until something is found."""
        for name in NAMES:
            self.clear(task, name)

    def sound(self, task: str, name: Name, problem: str, remedy: str) -> None:
        """Begins an alert, or goes on with it."""
        self._put(task, name, (Alert(name, problem, remedy),))

    def clear(self, task: str, name: Name) -> None:
        """Ends an alert, if there is one."""
        self._put(task, name, ())

    def of(self, task: str) -> tuple[Alert, ...]:
        """What is wrong with a task at present."""
        return self._of.get(task, ())

    def names(self) -> dict[str, list[str]]:
        """The names of the alerts by task; tasks without any are left out."""
        return {task: [one.alert for one in alerts] for task, alerts in sorted(self._of.items()) if alerts}

    def _put(self, task: str, name: Name, told: tuple[Alert, ...]) -> None:
        with self._writing:
            others = tuple(one for one in self.of(task) if one.alert != name)
            self._of = {**self._of, task: tuple(sorted((*others, *told), key=lambda one: one.alert))}
            self._gauge.labels(task, name).set(len(told))


def lost(alerts: Alerts, task: str, version: int | None) -> None:
    """Sounds `champion_lost`; `version` is the one that serves on, None where it is a live learner without one."""
    who = "what served before" if version is None else f"version {version}"
    alerts.sound(
        task,
        "champion_lost",
        f"The champion of {task!r} is gone from MLflow (its alias, its version, or the whole model); {who} serves on.",
        f'See `contender history {task}`; then `contender rollback {task} --why "…"`, or give `champion` to a version.',
    )


def refused(alerts: Alerts, task: str, version: int, error: Exception) -> None:
    """Sounds `champion_refused`: the alias stands on `version`, which is not served."""
    alerts.sound(
        task,
        "champion_refused",
        f"The alias `champion` of {task!r} stands on version {version}, which is not served: {error}",
        f'Move it to another version: `contender rollback {task} --why "…"`, or by hand in MLflow.',
    )


def guard_moved(alerts: Alerts, task: str, version: int) -> None:
    """Sounds `guard_moved`: on `version`, which had the title before."""
    alerts.sound(
        task,
        "guard_moved",
        f"The one that was promoted last as champion of {task!r} did worse than the one before it, and the guard has "
        f"given the title back: version {version} serves.",
        f"See `contender history {task}` for the decision, and look at what was promoted. It ends with the next move.",
    )
