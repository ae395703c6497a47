"""The pushed tasks of this worker: of each the running learner, the predictor that answers, and its log's committer."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import sqlalchemy as sa

from core.config import task_overrides
from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings
from core.config.task_files import pushed_names
from core.config.task_overrides import Configuration, pushed_task
from core.error_translation import translate
from core.errors import ContenderError
from features.arrays import FeatureRow
from serving.runtime.override_loader import last_known
from serving.runtime.periodic import LogOnce
from training.event_log.validation import RowValidator
from training.learners.factory import pushed_learner_factory, pushed_learner_key
from training.learners.group_commit import GroupCommitter
from training.learners.learner import Learner
from training.learners.running_learner import RunningLearner
from training.models.online import DEFAULT_SERIES
from training.models.task_check import NAMED_BY_ENVIRONMENT, chosen, procedure


class Predictor(Protocol):
    """What predicts for a pushed task: the running learner, or a frozen one."""

    @property
    def learner(self) -> Learner:
        """The learner that predicts."""
        ...

    def predict(self, features: FeatureRow, series: str | None) -> float | None:
        """The prediction for a row; nothing is kept of it."""
        ...

    def forecast(self, features: FeatureRow, series: str | None, steps: int) -> list[float | None]:
        """The next `steps` values."""
        ...


class FrozenLearner:
    """A learner as it was at the checkpoint of a version; it no longer learns."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._lock = threading.Lock()

    def predict(self, features: FeatureRow, series: str | None) -> float | None:
        """The prediction for a row."""
        with self._lock:
            return self.learner.predict(features, series or DEFAULT_SERIES)

    def forecast(self, features: FeatureRow, series: str | None, steps: int) -> list[float | None]:
        """The next `steps` values."""
        with self._lock:
            return self.learner.model.forecast(features, series or DEFAULT_SERIES, steps)


@dataclass(frozen=True)
class ServedModel:
    """The predictor that answers now.

    Attributes:
        mode: `live` is the running learner, `frozen` a version of it.
        version: the version in MLflow; of the running learner the one it was last registered as, None before the first.
    """

    mode: Literal["live", "frozen"]
    version: int | None
    predictor: Predictor

    @property
    def last_event_id(self) -> int:
        """The event up to which it has learned."""
        return self.predictor.learner.seq


@dataclass(frozen=True)
class AliasTarget:
    """What the champion alias of a task means. `frozen` None: the running learner answers."""

    version: int | None = None
    frozen: FrozenLearner | None = None


@dataclass
class AliasTargetSlot:
    """The target that was chosen last; None before the first choice. Two generations of a task may share a slot."""

    current: AliasTarget | None = None


@dataclass(frozen=True)
class LoadedTask:
    """A pushed task as it is served: its declaration, the contender that learns it, and the learner of that one."""

    task: PushedTask
    contender: str
    committer: GroupCommitter
    validator: RowValidator
    alias_target: AliasTargetSlot = field(default_factory=AliasTargetSlot)

    @property
    def running(self) -> RunningLearner:
        """The learner, which follows the log."""
        return self.committer.running

    @property
    def log(self) -> str:
        """The name of the task's event log."""
        return self.task.name

    @property
    def is_binary(self) -> bool:
        """Whether predictions are probabilities."""
        return self.task.target.kind == "binary"

    def follow(self, head: int | None) -> None:
        """Lets the learner catch up to an event; None: to the newest."""
        self.running.follow(head)

    def served(self) -> ServedModel:
        """What answers /predict and /predict_many, as `serving.pushed.follower` understood the champion alias last."""
        current = self.alias_target.current
        if current is None or current.frozen is None:
            return ServedModel("live", None if current is None else current.version, self.running)
        return ServedModel("frozen", current.version, current.frozen)


def check(settings: Settings) -> None:
    """Raises ConfigurationError for a MODEL_NAME that no contender of the task has.

    Without a database the task counts as it was known on this machine last.
    """
    if settings.model_name and NAMED_BY_ENVIRONMENT in pushed_names(settings.tasks):
        task, contender = declared(settings, NAMED_BY_ENVIRONMENT, _known(settings, NAMED_BY_ENVIRONMENT))
        procedure(task, contender)


def _known(settings: Settings, name: str) -> Configuration | None:
    if settings.database_url:
        try:
            return task_overrides.active_configuration(settings, name)
        except Exception as error:
            if translate(error) is None:
                raise
    return last_known(settings.bundles).get(name)


def open_tasks(
    engine: sa.Engine, settings: Settings, log_once: LogOnce, configured: Mapping[str, Configuration]
) -> dict[str, LoadedTask]:
    """Every pushed task with the contender that learns it; one that cannot be used is left out, and logged.

    Args:
        configured: the overrides in force.
    """
    tasks = {}
    for name in pushed_names(settings.tasks):
        try:
            tasks[name] = open_task(engine, *declared(settings, name, configured.get(name)))
        except ContenderError as error:
            log_once.problem(f"task/{name}", "A task cannot be used as declared.", str(error), task=name)
    return tasks


def declared(settings: Settings, name: str, replaced: Configuration | None) -> tuple[PushedTask, str]:
    """A pushed task as it is declared now, and the contender that is to learn it."""
    return chosen(pushed_task(settings.tasks, name, replaced), settings.model_name)


def open_task(engine: sa.Engine, task: PushedTask, contender: str) -> LoadedTask:
    """The task with a learner that is restored from the database when it is first needed."""
    procedure(task, contender)  # raises for one that cannot be made: now, and not at the first row
    learner_key = pushed_learner_key(task, contender)
    running = RunningLearner(engine, learner_key, pushed_learner_factory(task, learner_key))
    return LoadedTask(task, contender, GroupCommitter(engine, running), RowValidator(task))
