"""The board: what every task can be answered with at present, or why it cannot."""

from core.config.tasks import Task
from core.errors import ContenderError, NotFoundError
from serving.champion.predictor import Champion, ServedPrediction


class NoChampionError(ContenderError):
    """A task whose champion alias has never stood on a version."""


class NoDataError(ContenderError):
    """A task with a champion and nothing to predict from."""


class ServingState:
    """What every task can be answered with at present. Written by the follower's thread, read by every request.

    Each write puts a whole new dictionary in place, so a reader sees all of the old state or all of the new.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.champions: dict[str, Champion] = {}
        self.standings: dict[str, ServedPrediction] = {}
        self.registry_heard: float | None = None
        """When the registry answered last (monotonic seconds); None: never."""
        self.database_heard: float | None = None
        """The same of Postgres."""

    def standing(self, name: str) -> ServedPrediction:
        """The standing of a task. NotFoundError, NoChampionError or NoDataError say why there is none."""
        standing = self.standings.get(name)
        if standing is not None:
            return standing
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
            f"Run `contender run {name}` (or `make up`), which trains the contenders and crowns one; "
            "the API follows by itself.",
        )

    def publish(self, standing: ServedPrediction) -> None:
        """Puts a standing in place of the task's old one."""
        name = standing.task.name
        self.champions = {**self.champions, name: standing.champion}
        self.standings = {**self.standings, name: standing}

    def forget(self, name: str) -> None:
        """Takes down a task that is no more."""
        self.champions = {task: champion for task, champion in self.champions.items() if task != name}
        self.standings = {task: standing for task, standing in self.standings.items() if task != name}
