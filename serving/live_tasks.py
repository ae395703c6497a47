"""The pushed tasks that this worker serves: of each the learner that answers, and the way into its log."""

from dataclasses import dataclass

import sqlalchemy as sa

from core.errors import ConfigurationError, ContenderError
from core.pushed import OnlineContender, PushedTask
from core.settings import Settings
from core.task_files import load_pushed, pushed_names
from serving.complaints import Complaints
from training.admission import Admission
from training.event_log import LearnerKey
from training.intake import Intake
from training.learner import Learner
from training.live import LiveLearner
from training.online_procedures import ONLINE, OnlineProcedure, declared

NAMED_BY_ENVIRONMENT = "live"
"""The one task whose contender MODEL_NAME picks."""


@dataclass(frozen=True)
class LiveTask:
    """A pushed task and the contender that learns it."""

    task: PushedTask
    contender: str
    intake: Intake
    admission: Admission

    @property
    def live(self) -> LiveLearner:
        """The learner."""
        return self.intake.live

    @property
    def log(self) -> str:
        """The name of the task's event log."""
        return self.task.name

    @property
    def is_binary(self) -> bool:
        """Whether predictions are probabilities."""
        return self.task.target.kind == "binary"


def check(settings: Settings) -> None:
    """Raises ConfigurationError for a MODEL_NAME that no model has: it is not for a default to step in."""
    if settings.model_name and NAMED_BY_ENVIRONMENT in pushed_names(settings.tasks):
        task, contender = _chosen(load_pushed(settings.tasks, NAMED_BY_ENVIRONMENT), settings.model_name)
        _procedure(task, contender)


def open_tasks(engine: sa.Engine, settings: Settings, complaints: Complaints) -> dict[str, LiveTask]:
    """Every pushed task with the contender that learns it; a file that cannot be used is passed over, and told.

    Nothing is read from the database yet.
    """
    lives = {}
    for name in pushed_names(settings.tasks):
        try:
            task, contender = _chosen(load_pushed(settings.tasks, name), settings.model_name)
            lives[name] = _open(engine, task, contender)
        except ContenderError as error:
            complaints.open(f"task/{name}", "A task file cannot be used.", str(error), task=name)
    return lives


def _open(engine: sa.Engine, task: PushedTask, contender: str) -> LiveTask:
    key = LearnerKey(task.name, contender, task.contender_hash(contender))
    procedure, outcome = _procedure(task, contender), task.target.kind

    def fresh() -> Learner:
        return Learner(procedure.online(outcome, task.contenders[contender].seed), outcome)

    return LiveTask(task, contender, Intake(engine, LiveLearner(engine, key, fresh)), Admission(task))


def _procedure(task: PushedTask, contender: str) -> OnlineProcedure:
    named = task.contenders[contender]
    return declared(named.procedure, named.parameters, task.target.kind)


def _chosen(task: PushedTask, model_name: str) -> tuple[PushedTask, str]:
    """The task, in which the contender that is to serve is declared, and that contender's name."""
    if task.name != NAMED_BY_ENVIRONMENT or not model_name:
        return task, task.serves
    if model_name in task.contenders:
        return task, model_name
    if model_name in ONLINE:
        contenders = {**task.contenders, model_name: OnlineContender(procedure=model_name)}
        return task.model_copy(update={"contenders": contenders}), model_name
    known = ", ".join(dict.fromkeys([*task.contenders, *ONLINE]))
    raise ConfigurationError(f"MODEL_NAME is {model_name!r}, which no model is called.", f"Known: {known}.")
