"""What every task can be answered with at present, or why it cannot."""

from core.config.tasks import Task
from core.errors import ContenderError, NotFoundError
from serving.champion.predictor import Champion, ServedPrediction


class NoChampionError(ContenderError):
    """A task whose champion alias has never named a version."""


class NoDataError(ContenderError):
    """A task with a champion and nothing to predict from."""


class ServingState:
    """The stored tasks and their current predictions. Written by the alias poller's thread, read by every request."""

    def __init__(self) -> None:
        # Readers take no lock: each write replaces a whole dictionary, so they see all of the old one or of the new.
        self.tasks: dict[str, Task] = {}
        self.champions: dict[str, Champion] = {}
        self.predictions: dict[str, ServedPrediction] = {}
        self.registry_answered_at: float | None = None
        """When MLflow answered last (monotonic seconds); None: never."""
        self.database_answered_at: float | None = None
        """When Postgres answered last (monotonic seconds); None: never."""

    def prediction(self, name: str) -> ServedPrediction:
        """The current prediction of a task. NotFoundError, NoChampionError or NoDataError say why there is none."""
        prediction = self.predictions.get(name)
        if prediction is not None:
            return prediction
        if name not in self.tasks:
            raise NotFoundError(
                f"There is no task {name!r}.", f"Known tasks: {', '.join(sorted(self.tasks)) or 'none'}."
            )
        if name in self.champions:
            raise NoDataError(
                f"The task {name!r} has a champion and no data to predict from.",
                f"Run `contender ingest {name}` and `contender features {name}`; the API follows by itself.",
            )
        raise NoChampionError(
            f"The task {name!r} has no champion yet.",
            f"Run `contender run {name}` (or `make up`), which trains the contenders and promotes one; "
            "the API follows by itself.",
        )

    def publish(self, prediction: ServedPrediction) -> None:
        """Replaces a task's champion and prediction."""
        name = prediction.task.name
        self.champions = {**self.champions, name: prediction.champion}
        self.predictions = {**self.predictions, name: prediction}

    def forget(self, name: str) -> None:
        """Removes a task that is no longer declared."""
        self.champions = {task: champion for task, champion in self.champions.items() if task != name}
        self.predictions = {task: prediction for task, prediction in self.predictions.items() if task != name}
