"""Alerts: what needs a person's attention, for as long as it lasts, shown in `/info`, `/health` and `/metrics`.

Each worker finds out for itself; `contender_alerts` is 1 while any of them has the alert.
"""

import threading
from dataclasses import dataclass
from typing import Literal, get_args

from serving.runtime.prometheus import Metrics

Name = Literal["champion_lost", "champion_refused", "guard_moved"]
"""`champion_lost`: MLflow answers and has no champion alias where there was one; the last good copy serves.

`champion_refused`: the alias names a version that must not be served, or cannot be loaded; what served serves on.

`guard_moved`: the gate's guard moved the alias back to the previous champion, and it is there still.
"""
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True)
class Alert:
    """What is wrong, and what to do about it, in sentences."""

    alert: Name
    problem: str
    remedy: str


class Alerts:
    """The alerts of one worker, by task. Raised and cleared by the poller's thread, read by every request."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.alerts
        self._writing = threading.Lock()
        self._of: dict[str, tuple[Alert, ...]] = {}

    def reset(self, task: str) -> None:
        """Clears every alert of a task, so that the metrics show it with zeros from the start."""
        for name in NAMES:
            self.clear(task, name)

    def raise_alert(self, task: str, name: Name, problem: str, remedy: str) -> None:
        """Raises an alert, or replaces its text."""
        self._put(task, name, (Alert(name, problem, remedy),))

    def clear(self, task: str, name: Name) -> None:
        """Ends an alert, if there is one."""
        self._put(task, name, ())

    def of(self, task: str) -> tuple[Alert, ...]:
        """The present alerts of a task."""
        return self._of.get(task, ())

    def names(self) -> dict[str, list[str]]:
        """The names of the alerts by task; tasks without any are left out."""
        return {task: [one.alert for one in alerts] for task, alerts in sorted(self._of.items()) if alerts}

    def _put(self, task: str, name: Name, alert: tuple[Alert, ...]) -> None:
        # Readers take no lock: the dictionary is replaced as a whole. Two writers would lose one of two changes.
        with self._writing:
            others = tuple(one for one in self.of(task) if one.alert != name)
            self._of = {**self._of, task: tuple(sorted((*others, *alert), key=lambda one: one.alert))}
            self._gauge.labels(task, name).set(len(alert))


def lost(alerts: Alerts, task: str, version: int | None) -> None:
    """Raises `champion_lost`; `version` is the one that serves on, None where it is a learner without one."""
    on = "what served before" if version is None else f"version {version}"
    alerts.raise_alert(
        task,
        "champion_lost",
        f"The champion of {task!r} is gone from MLflow (its alias, its version, or the whole model); {on} serves on.",
        f'See `contender history {task}`; then `contender rollback {task} --why "…"`, or give `champion` to a version.',
    )


def refused(alerts: Alerts, task: str, version: int, error: Exception) -> None:
    """Raises `champion_refused`: the alias names `version`, which is not served."""
    alerts.raise_alert(
        task,
        "champion_refused",
        f"The alias `champion` of {task!r} names version {version}, which is not served: {error}",
        f'Move it to another version: `contender rollback {task} --why "…"`, or by hand in MLflow.',
    )


def guard_moved(alerts: Alerts, task: str, version: int) -> None:
    """Raises `guard_moved`: back to `version`, which was champion before."""
    alerts.raise_alert(
        task,
        "guard_moved",
        f"The version that was promoted last as champion of {task!r} did worse than the one before it, and the guard "
        f"has moved the alias back: version {version} serves.",
        f"See `contender history {task}` for the decision, and look at what was promoted. It ends with the next move.",
    )
