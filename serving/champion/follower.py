"""Follows one stored task: its champion version, its newest data, and the prediction of the one from the other.

Whatever fails here, what served before serves on: a prediction is published only when all of it is there.
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
from serving.champion.model_holder import ChampionLearner
from serving.champion.poller import AliasPoll
from serving.champion.predictor import Champion, Latest, ModelSource, ServedPrediction, predict_latest
from serving.champion.state import ServingState
from serving.runtime import alerts
from serving.runtime.alerts import Alerts
from serving.runtime.log_listener import LogFollower
from serving.runtime.periodic import LogOnce
from serving.runtime.prometheus import Metrics
from training.ledger import entries as ledger
from training.registry import versions

# A refused version is tried again after a pause that doubles: each attempt costs a download and an unpickling.
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
class Dependencies:
    """What the followers of all tasks share.

    `log_followers` takes the followers of stored tasks' event logs; `wake` brings the next poll forward.
    """

    engine: sa.Engine
    clock: Clock
    state: ServingState
    bundles: Bundles
    metrics: Metrics
    log_once: LogOnce
    alerts: Alerts
    log_followers: MutableMapping[str, LogFollower]
    wake: Callable[[], None]


class ChampionFollower:
    """Keeps the published prediction of one task up to date. Called by one thread."""

    def __init__(self, task: Task, deps: Dependencies) -> None:
        self._task = task
        self._deps = deps
        self._learner = ChampionLearner(deps.engine, task, deps.log_followers, deps.wake)
        self._data: DataVersion | None = None
        self._latest: Latest | None = None
        self._beats_baseline: Mapping[str, str] = {}
        self._wanted: int | None = None
        self._refused: int | None = None
        self._must_reload = False
        self._pause = _FIRST_PAUSE_SECONDS
        self._not_before = 0.0

    def restore(self) -> None:
        """Serves what served last, from disk alone; it counts as a last-good copy until MLflow confirms it."""

        def attempt() -> None:
            last = self._deps.bundles.last_good(self._task.name)
            if last is not None:
                self._latest = last.latest
                self._beats_baseline = {last.version.contender: last.beats_baseline}
                loaded = self._deps.bundles.load_kept(last.version)
                self._put(Champion(last.version, loaded.feature_names, loaded.model, "last-good copy"))

        self._guarded("restore", "The last good model cannot be used.", attempt)

    def reload(self) -> None:
        """Lets the next `follow` read data and champion again, changed or not, refused before or not.

        What serves now serves until the same version, or another, was loaded and checked.
        """
        self._data, self._refused, self._must_reload = None, None, True
        self._learner.reload()

    def follow(self, poll: AliasPoll) -> None:
        """Follows the data, then the champion, then its learner."""
        # Data first: a champion that is new is then published with a prediction of the newest data at once.
        self._guarded("data", "Newer data cannot be used yet.", self._follow_data)
        try:
            is_served = self._follow_champion(poll)
        except (ContenderError, OSError) as error:
            self._count_failure(error, poll)
            is_served = False
        if is_served:
            # While MLflow is away the alias may still name the refused version.
            if poll.reached:
                self._deps.alerts.clear(self._task.name, "champion_refused")
            self._deps.log_once.resolved(self._about("champion"), f"The champion of {self._task.name} serves again.")
        elif poll.version is not None:
            self._mark_last_good()
        # After the champion: a learner answers only for the version that is served.
        self._guarded("learner", "The learner cannot be used; the version answers frozen.", self._follow_learner)

    def _follow_learner(self) -> None:
        champion, position = self._champion(), self._learner.position
        if champion is not None:
            try:
                self._learner.look(champion.version)
            finally:
                # Also after a failure: the version itself answers then, and no longer the learner.
                if self._learner.position != position:
                    self._put(champion)

    def _follow_data(self) -> None:
        newest = latest_features.newest(self._deps.engine, self._task, self._deps.clock.now())
        self._deps.state.database_answered_at = monotonic()
        if newest is None or newest == self._data:
            return
        self._latest = latest_features.read(self._deps.engine, self._task, newest)
        self._beats_baseline = newest.beats_baseline
        champion = self._champion()
        if champion is not None:
            self._put(champion)
        # Last: what failed above is tried again at the next poll.
        self._data = newest

    def _mark_last_good(self) -> None:
        """Publishes that what serves is not the version that the alias names, which cannot be loaded."""
        current = self._champion()
        if current is not None and current.source == "mlflow":
            self._put(replace(current, source="last-good copy"))

    def _follow_champion(self, poll: AliasPoll) -> bool:
        """Whether the version that the alias names is served."""
        current = self._champion()
        if poll.version is not None:
            self._end_loss()
            return self._serve(poll.version, "mlflow")
        if current is None:
            # This worker serves nothing yet and MLflow names nothing: the ledger knows the last champion.
            known = ledger.last_state(self._deps.engine, self._task.name, ledger.CHAMPION)
            if known is not None and known.version is not None:
                self._report_loss(known.version, poll)
                return self._serve(known.version, "last-good copy")
        else:
            self._report_loss(current.version.version, poll)
            if poll.reached and current.source == "mlflow":
                self._put(replace(current, source="last-good copy"))
        return True

    def _report_loss(self, version: int, poll: AliasPoll) -> None:
        """Alerts that there was a champion and MLflow names none, if it did answer."""
        if poll.reached:
            alerts.lost(self._deps.alerts, self._task.name, version)
            self._deps.log_once.problem(
                self._about("alias"), "The champion alias is gone; the last champion serves on.", "no alias",
                task=self._task.name, alert="champion_lost", version=version,
            )  # fmt: skip

    def _end_loss(self) -> None:
        self._deps.alerts.clear(self._task.name, "champion_lost")
        self._deps.log_once.resolved(self._about("alias"), f"The champion alias of {self._task.name} is back.")

    def _serve(self, wanted: int, source: ModelSource) -> bool:
        """Makes a version the champion, unless it is; False while a refused one is not due to be tried again."""
        current = self._champion()
        is_served = current is not None and (current.version.version, current.source) == (wanted, source)
        if is_served and not self._must_reload:
            return True
        # Before anything can fail: `_count_failure` reports this number.
        self._wanted = wanted
        if wanted == self._refused and monotonic() < self._not_before:
            return False
        version = versions.find(self._deps.engine, self._task.name, wanted)
        if version is None:
            raise NotFoundError(
                f"Postgres knows no version {wanted} of {self._task.name!r}, so its artifact cannot be checked.",
                "Only versions that `contender train` registered are served: move the alias to one of them.",
            )
        if current is not None and current.version == version and not self._must_reload:
            # MLflow is back, or away: the loaded model stays, and only its source changes.
            self._put(replace(current, source=source))
        else:
            loaded = self._deps.bundles.load(version)
            self._put(Champion(version, loaded.feature_names, loaded.model, source))
        # Only now: a requested reload that failed is still due at the next poll.
        self._refused, self._must_reload = None, False
        self._check_mover(wanted)
        return True

    def _check_mover(self, version: int) -> None:
        if ledger.mover(self._deps.engine, self._task.name, ledger.CHAMPION, version) == ledger.GUARD:
            alerts.guard_moved(self._deps.alerts, self._task.name, version)
        else:
            self._deps.alerts.clear(self._task.name, "guard_moved")

    def _put(self, champion: Champion) -> None:
        """Computes the champion's prediction of the latest data, and publishes it."""
        state, name = self._deps.state, self._task.name
        if self._latest is None:
            # Without data too, so that clients get `no_data` and not `no_champion`.
            state.champions = {**state.champions, name: champion}
            return
        beats = self._beats_baseline.get(champion.version.contender, _UNPROVEN)
        prediction = self._predict(champion, self._latest, beats)
        if prediction == state.predictions.get(name):
            # The published one keeps its composed replies, and the disk is not written at every poll.
            return
        # Published before it is kept: a full disk must not keep a checked version from serving.
        state.publish(prediction)
        self._deps.metrics.served.labels(name).set(champion.version.version)
        self._deps.bundles.keep(prediction)

    def _predict(self, champion: Champion, latest: Latest, beats: str) -> ServedPrediction:
        """The running learner's prediction where it has one; else that of the version itself."""
        answering = self._learner.answering(champion, latest)
        if answering.learner is not None:
            # A learner without a usable value must not take the answer of the version away.
            with suppress(DataRefusedError):
                prediction = predict_latest(self._task, answering, latest, beats)
                if prediction.value is not None:
                    return prediction
        return predict_latest(self._task, replace(answering, learner=None), latest, beats)

    def _count_failure(self, error: ContenderError | OSError, poll: AliasPoll) -> None:
        """Counts and logs a failure; a refused version is not tried again before a pause."""
        reason = next((name for kind, name in _REASONS.items() if isinstance(error, kind)), "other")
        self._deps.metrics.reload_failures.labels(self._task.name, reason).inc()
        self._deps.log_once.problem(
            self._about("champion"), "The champion cannot be loaded; what served before serves on.", str(error),
            task=self._task.name, version=self._wanted,
        )  # fmt: skip
        # An outage says nothing about the version: no alert, and the next poll tries again without a pause.
        if not isinstance(error, UnreachableError):
            if poll.version is not None:
                alerts.refused(self._deps.alerts, self._task.name, poll.version, error)
            is_again = self._refused == self._wanted
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS) if is_again else _FIRST_PAUSE_SECONDS
            self._refused, self._not_before = self._wanted, monotonic() + self._pause

    def _guarded(self, subject: str, message: str, attempt: Callable[[], None]) -> None:
        try:
            attempt()
        except (ContenderError, OSError) as error:
            self._deps.log_once.problem(self._about(subject), message, str(error), task=self._task.name)
        else:
            self._deps.log_once.resolved(self._about(subject), f"The {subject} of {self._task.name} can be used again.")

    def _champion(self) -> Champion | None:
        return self._deps.state.champions.get(self._task.name)

    def _about(self, subject: str) -> str:
        return f"{subject}/{self._task.name}"
