"""Follows one task: which version is its champion, which data are its newest, and what the one says of the other.

Whatever fails here, what served before serves on: a standing is put on the board only when all of it is there.
"""

from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic

import sqlalchemy as sa

from core.config.tasks import Task
from core.errors import (
    ContenderError,
    DatabaseUnreachableError,
    DataRefusedError,
    IntegrityError,
    NotFoundError,
    RegistryUnreachableError,
    UnreachableError,
)
from core.jobs.clock import Clock
from serving.champion import latest_features
from serving.champion.latest_features import DataVersion
from serving.champion.model_cache import Bundles
from serving.champion.model_holder import LiveChampion
from serving.champion.predictor import Champion, Latest, ModelSource, ServedPrediction, stand
from serving.champion.state import ServingState
from serving.runtime import alerts
from serving.runtime.alerts import Alerts
from serving.runtime.complaints import LogOnce
from serving.runtime.log_listener import WatchedLog
from serving.runtime.prometheus import Metrics
from training.ledger import entries as ledger
from training.registry import versions

_FIRST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0
_UNPROVEN = "unproven"
_REASONS: dict[type[ContenderError], str] = {
    IntegrityError: "integrity",
    DataRefusedError: "refused",
    NotFoundError: "unknown_version",
    RegistryUnreachableError: "registry_unreachable",
    DatabaseUnreachableError: "database_unreachable",
}


@dataclass(frozen=True)
class AliasPoll:
    """What the registry said of a task's champion alias: `version` None is an alias that does not exist."""

    reached: bool
    version: int | None = None


@dataclass(frozen=True)
class Dependencies:
    """What every task's follower works with."""

    engine: sa.Engine
    clock: Clock
    board: ServingState
    bundles: Bundles
    metrics: Metrics
    complaints: LogOnce
    alerts: Alerts
    watched: MutableMapping[str, WatchedLog]
    wake: Callable[[], None]


class ChampionFollower:
    """Keeps one task's place on the board up to date. Called by one thread."""

    def __init__(self, task: Task, means: Dependencies) -> None:
        self._task = task
        self._means = means
        self._live = LiveChampion(means.engine, task, means.watched, means.wake)
        self._data: DataVersion | None = None
        self._latest: Latest | None = None
        self._beats_baseline: Mapping[str, str] = {}
        self._wanted: int | None = None
        self._refused: int | None = None
        self._is_anew = False
        self._pause = _FIRST_PAUSE_SECONDS
        self._not_before = 0.0

    def restore(self) -> None:
        """Serves what served last, from disk alone; it is called a last-good copy until the registry confirms it."""

        def attempt() -> None:
            last = self._means.bundles.last_good(self._task.name)
            if last is not None:
                self._latest = last.latest
                self._beats_baseline = {last.version.contender: last.beats_baseline}
                loaded = self._means.bundles.load_kept(last.version)
                self._put(Champion(last.version, loaded.feature_names, loaded.model, "last-good copy"))

        self._guarded("restore", "The last good model cannot be used.", attempt)

    def begin_anew(self) -> None:
        """Lets the next `follow` read data and champion again, changed or not, refused before or not.

        What serves goes on serving until the same, or another, was loaded and checked.
        """
        self._data, self._refused, self._is_anew = None, None, True
        self._live.begin_anew()

    def follow(self, heard: AliasPoll) -> None:
        """Follows the data, then the champion, then its learner."""
        self._guarded("data", "Newer data cannot be used yet.", self._follow_data)
        try:
            is_served = self._follow_champion(heard)
        except (ContenderError, OSError) as error:
            self._count_failure(error, heard)
            is_served = False
        if is_served:
            if heard.reached:
                self._means.alerts.clear(self._task.name, "champion_refused")
            self._means.complaints.close(self._about("champion"), f"The champion of {self._task.name} serves again.")
        elif heard.version is not None:
            self._serve_on()
        self._guarded("learner", "The learner cannot be used; the version answers frozen.", self._follow_learner)

    def _follow_learner(self) -> None:
        champion, place = self._champion(), self._live.place
        if champion is not None:
            try:
                self._live.look(champion.version)
            finally:
                if self._live.place != place:
                    self._put(champion)

    def _follow_data(self) -> None:
        newest = latest_features.newest(self._means.engine, self._task, self._means.clock.now())
        self._means.board.database_heard = monotonic()
        if newest is None or newest == self._data:
            return
        self._latest = latest_features.read(self._means.engine, self._task, newest)
        self._beats_baseline = newest.beats_baseline
        champion = self._champion()
        if champion is not None:
            self._put(champion)
        self._data = newest

    def _serve_on(self) -> None:
        """The alias stands on a version that cannot be had: what serves is no longer what the registry names."""
        current = self._champion()
        if current is not None and current.source == "mlflow":
            self._put(replace(current, source="last-good copy"))

    def _follow_champion(self, heard: AliasPoll) -> bool:
        """Whether what the alias names is served."""
        current = self._champion()
        if heard.version is not None:
            self._find()
            return self._take(heard.version, "mlflow")
        if current is None:
            known = ledger.last_held(self._means.engine, self._task.name, ledger.CHAMPION)
            if known is not None and known.version is not None:
                self._miss(known.version, heard)
                return self._take(known.version, "last-good copy")
        else:
            self._miss(current.version.version, heard)
            if heard.reached and current.source == "mlflow":
                self._put(replace(current, source="last-good copy"))
        return True

    def _miss(self, version: int, heard: AliasPoll) -> None:
        """There was a champion, and the registry names none: a loss, if it did answer."""
        if heard.reached:
            alerts.lost(self._means.alerts, self._task.name, version)
            self._means.complaints.open(
                self._about("alias"), "The champion alias is gone; the last champion serves on.", "no alias",
                task=self._task.name, alert="champion_lost", version=version,
            )  # fmt: skip

    def _find(self) -> None:
        """The registry names a champion."""
        self._means.alerts.clear(self._task.name, "champion_lost")
        self._means.complaints.close(self._about("alias"), f"The champion alias of {self._task.name} is back.")

    def _take(self, wanted: int, source: ModelSource) -> bool:
        """Makes a version the champion, unless it is; False when it was refused a moment ago, and is again."""
        current = self._champion()
        is_served = current is not None and (current.version.version, current.source) == (wanted, source)
        if is_served and not self._is_anew:
            return True
        self._wanted = wanted
        if wanted == self._refused and monotonic() < self._not_before:
            return False
        version = versions.find(self._means.engine, self._task.name, wanted)
        if version is None:
            raise NotFoundError(
                f"Postgres knows no version {wanted} of {self._task.name!r}, so its artifact cannot be checked.",
                "Only versions that `contender train` registered are served: move the alias to one of them.",
            )
        if current is not None and current.version == version and not self._is_anew:
            self._put(replace(current, source=source))
        else:
            loaded = self._means.bundles.load(version)
            self._put(Champion(version, loaded.feature_names, loaded.model, source))
        self._refused, self._is_anew = None, False
        self._look_who_moved(wanted)
        return True

    def _look_who_moved(self, version: int) -> None:
        if ledger.mover(self._means.engine, self._task.name, ledger.CHAMPION, version) == ledger.GUARD:
            alerts.guard_moved(self._means.alerts, self._task.name, version)
        else:
            self._means.alerts.clear(self._task.name, "guard_moved")

    def _put(self, champion: Champion) -> None:
        """Computes what the champion says of the latest data, and puts it on the board."""
        board, name = self._means.board, self._task.name
        if self._latest is None:
            board.champions = {**board.champions, name: champion}
            return
        beats = self._beats_baseline.get(champion.version.contender, _UNPROVEN)
        standing = self._stand(champion, self._latest, beats)
        if standing == board.standings.get(name):
            return
        board.publish(standing)
        self._means.metrics.served.labels(name).set(champion.version.version)
        self._means.bundles.keep(standing)

    def _stand(self, champion: Champion, latest: Latest, beats: str) -> ServedPrediction:
        """The live learner's standing where it has one; else that of the version itself."""
        answering = self._live.answering(champion, latest)
        if answering.live is not None:
            with suppress(DataRefusedError):
                standing = stand(self._task, answering, latest, beats)
                if standing.value is not None:
                    return standing
        return stand(self._task, replace(answering, live=None), latest, beats)

    def _count_failure(self, error: ContenderError | OSError, heard: AliasPoll) -> None:
        """Counts and tells it. What did not answer is asked again at the next poll, what was refused later."""
        reason = next((told for kind, told in _REASONS.items() if isinstance(error, kind)), "other")
        self._means.metrics.reload_failures.labels(self._task.name, reason).inc()
        self._means.complaints.open(
            self._about("champion"), "The champion cannot be loaded; what served before serves on.", str(error),
            task=self._task.name, version=self._wanted,
        )  # fmt: skip
        if not isinstance(error, UnreachableError):
            if heard.version is not None:
                alerts.refused(self._means.alerts, self._task.name, heard.version, error)
            is_again = self._refused == self._wanted
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS) if is_again else _FIRST_PAUSE_SECONDS
            self._refused, self._not_before = self._wanted, monotonic() + self._pause

    def _guarded(self, subject: str, sentence: str, attempt: Callable[[], None]) -> None:
        try:
            attempt()
        except (ContenderError, OSError) as error:
            self._means.complaints.open(self._about(subject), sentence, str(error), task=self._task.name)
        else:
            self._means.complaints.close(self._about(subject), f"The {subject} of {self._task.name} can be used again.")

    def _champion(self) -> Champion | None:
        return self._means.board.champions.get(self._task.name)

    def _about(self, subject: str) -> str:
        return f"{subject}/{self._task.name}"
