"""The pushed tasks that this worker serves: of each the learner that answers, and the way into its log."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from core.config import task_overrides
from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings
from core.config.task_files import pushed_names
from core.config.task_overrides import Configuration, pushed_task
from core.error_translation import translate
from core.errors import ContenderError
from serving.pushed.served import Chosen, ServedModel
from serving.runtime.complaints import LogOnce
from serving.runtime.override_loader import last_heard
from training.event_log.validation import RowValidator
from training.learners.factory import pushed_learner_factory, pushed_learner_key
from training.learners.group_commit import GroupCommitter
from training.learners.running_learner import LiveLearner
from training.models.task_check import NAMED_BY_ENVIRONMENT, chosen, procedure


@dataclass(frozen=True)
class LiveTask:
    """A pushed task and the contender that learns it."""

    task: PushedTask
    contender: str
    intake: GroupCommitter
    admission: RowValidator
    chosen: Chosen = field(default_factory=Chosen)

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

    def served(self) -> ServedModel:
        """Who answers /predict and /predict_many, as the champion alias was understood last (`pushed_champion`)."""
        held = self.chosen.held
        if held is None or held.frozen is None:
            return ServedModel("live", None if held is None else held.version, self.live)
        return ServedModel("frozen", held.version, held.frozen)


def check(settings: Settings) -> None:
    """Raises ConfigurationError for a MODEL_NAME that no model has: it is not for a default to step in.

    There need not be a database yet: then the task is taken as it was known on this machine last.
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
    return last_heard(settings.bundles).get(name)


def open_tasks(
    engine: sa.Engine, settings: Settings, complaints: LogOnce, configured: Mapping[str, Configuration]
) -> dict[str, LiveTask]:
    """Every pushed task with the contender that learns it; one that cannot be used is passed over, and told.

    Nothing is read from the database yet.
    """
    lives = {}
    for name in pushed_names(settings.tasks):
        try:
            lives[name] = open_task(engine, *declared(settings, name, configured.get(name)))
        except ContenderError as error:
            complaints.open(f"task/{name}", "A task cannot be used as declared.", str(error), task=name)
    return lives


def declared(settings: Settings, name: str, replaced: Configuration | None) -> tuple[PushedTask, str]:
    """A pushed task as it is declared now, and the contender that is to learn it."""
    return chosen(pushed_task(settings.tasks, name, replaced), settings.model_name)


def open_task(engine: sa.Engine, task: PushedTask, contender: str) -> LiveTask:
    """The task with a learner that is restored when it is first needed."""
    procedure(task, contender)  # what cannot be made is told now, not at the first row
    learns = pushed_learner_key(task, contender)
    return LiveTask(
        task,
        contender,
        GroupCommitter(engine, LiveLearner(engine, learns, pushed_learner_factory(task, learns))),
        RowValidator(task),
    )
