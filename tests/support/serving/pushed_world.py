"""A pushed task of its own in a real MLflow: rows to learn, checkpoints, sessions, and the job that registers."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from core.config.pushed_tasks import Checkpointing, OnlineContender, PushedTarget, PushedTask
from core.config.settings import Settings
from core.db.event_tables import registrations
from core.jobs.clock import FixedClock
from features.arrays import FeatureRow
from serving.champion.poller import AliasPoller
from serving.champion.state import ServingState
from serving.champion.task_watcher import TaskWatcher
from serving.pushed.checkpointer import Checkpointer
from serving.pushed.follower import PushedChampions
from serving.pushed.tasks import LoadedTask, open_task
from serving.runtime import reloads
from serving.runtime.alerts import Alerts
from serving.runtime.periodic import LogOnce
from serving.runtime.prometheus import Metrics
from training import register
from training.event_log.events import NewEvent
from training.learners.learner import Learner
from training.ledger.entries import CHAMPION
from training.register import RegisterReport
from training.registry.factory import open_registry

BEGIN = datetime(2024, 1, 1, 12, tzinfo=UTC)


def a_pushed_task(**changes: object) -> PushedTask:
    """A task that no other test has, with two contenders and a checkpoint after every event."""
    return PushedTask(
        name=f"pushed-{uuid.uuid4().hex[:8]}",
        title="What comes next?",
        source="pushed",
        target=PushedTarget(kind="value"),
        contenders={
            "linear": OnlineContender(procedure="linear_regression"),
            "knn": OnlineContender(procedure="knn_regressor", parameters={"neighbours": 3}),
        },
        serves="linear",
        checkpoint=Checkpointing(events=1, seconds=0.2),
    ).model_copy(update=changes)


def features(number: int) -> FeatureRow:
    """Two features of three, so that none is in every row."""
    every = {"in_1": number % 7 * 1.1, "in_2": number % 5 * 0.7, "in_3": number % 3 * 1.3}
    return {name: value for name, value in every.items() if name != f"in_{number % 3 + 1}"}


def rows(begin: int, count: int) -> list[NewEvent]:
    """Rows that a model can learn something from."""
    numbers = range(begin, begin + count)
    return [NewEvent("row", features(n), n % 2 if n % 2 else n % 7 * 2.0 + n % 5) for n in numbers]


@dataclass
class PushedWorld:
    """One worker's part of a pushed task, without its threads: what they would do is done when it is told."""

    settings: Settings
    engine: sa.Engine
    task: PushedTask = field(default_factory=a_pushed_task)
    day: int = 0
    learned: int = 0

    def __post_init__(self) -> None:
        folder = self.settings.home.parent / "pushed-tasks"
        folder.mkdir(exist_ok=True)
        self.settings = self.settings.model_copy(update={"tasks": folder, "alias_poll_seconds": 0.2})
        self.declare(self.task)

    def declare(self, task: PushedTask) -> None:
        """Writes the task's file and starts a worker on it."""
        self.task = task
        self.file.write_text(yaml.safe_dump(task.model_dump(mode="json")))
        self.loaded: LoadedTask = open_task(self.engine, task, task.serves)
        # From the beginning: what it takes leaves neither a thread nor a connection behind.
        self.loaded.committer.close()
        self.tasks = {task.name: self.loaded}
        self.poller = self.start_polling()

    def start_polling(self, **changes: object) -> AliasPoller:
        """A poller as a worker that has just started has it, with alerts of its own. `changes` are of its settings."""
        settings, log_once = self.settings.model_copy(update=changes), LogOnce()
        metrics = Metrics(settings.home / "metrics")
        self.alerts = Alerts(metrics)
        watcher = TaskWatcher(settings.tasks, dict, partial(reloads.counts, self.engine), log_once)
        champions = PushedChampions(self.engine, self.tasks, self.alerts)
        return AliasPoller(settings, ServingState(), metrics, watcher, log_once, [champions])

    @property
    def file(self) -> Path:
        return self.settings.tasks / f"{self.task.name}.yaml"

    @property
    def clock(self) -> FixedClock:
        return FixedClock(BEGIN + timedelta(days=self.day))

    def learn(self, count: int) -> None:
        """Learns so many rows, and writes a checkpoint."""
        self.loaded.committer.submit(rows(self.learned, count))
        self.learned += count
        Checkpointer(self.engine, self.tasks, self.clock).look()

    def register(self, **changes: object) -> RegisterReport:
        """Runs the job."""
        return register.run(self.settings.model_copy(update=changes), self.clock, self.task.name)

    def version(self, count: int) -> tuple[int, Learner]:
        """Learns on a new day, and registers: the version's number, and the learner as it stood."""
        self.day += 1
        self.learn(count)
        (version,) = self.register().versions
        return version.version, Learner.deserialize(self.loaded.running.learner.serialize())

    def champion(self) -> int | None:
        """Where MLflow says that the alias stands."""
        return (open_registry(self.settings).aliases(self.task.name) or {}).get(CHAMPION)

    def move_by_hand(self, version: int) -> None:
        """Does what a person does in MLflow's pages."""
        open_registry(self.settings).set_alias(self.task.name, CHAMPION, version)

    def numbers(self) -> list[int]:
        """The versions that MLflow has, oldest first."""
        return sorted(one.version for one in open_registry(self.settings).versions_above(self.task.name, 0))

    def outbox(self) -> list[sa.Row[tuple[Any, ...]]]:
        """The rows of the outbox, oldest first."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(registrations).order_by(registrations.c.id)))
