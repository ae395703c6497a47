"""The thread of each worker that follows the champion alias of pushed tasks.

On the newest version of the contender that learns here, the alias means the live learner, which is ahead of it. On an
older one it means that version, frozen as its checkpoint is; so does another contender's version when a person has put
the alias there (otherwise the declaration or MODEL_NAME has picked the contender that learns, and the alias is about to
follow). Frozen answers are those of /predict and /predict_many: rows are learned and scored by the live learner, whose
predictions /predict_learn answers with. Whatever fails here, who answered before answers on.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress

import sqlalchemy as sa

from core.config.settings import Settings
from core.errors import (
    ContenderError,
    DatabaseUnreachableError,
    DataRefusedError,
    NotFoundError,
    RegistryUnreachableError,
    UnreachableError,
)
from serving.pushed.served import Choice, FrozenLearner
from serving.pushed.tasks import LiveTask
from serving.runtime import alerts
from serving.runtime.alerts import Alerts
from serving.runtime.complaints import LogOnce
from serving.runtime.periodic import PeriodicThread
from serving.runtime.reloads import Reloads
from training.learners import checkpoints, outbox
from training.learners.factory import pushed_learner_factory
from training.learners.outbox import PendingRegistration
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION
from training.registry import client as registry
from training.registry import validation, versions

_FIRST_POLL_SECONDS = 5.0


class PushedChampions:
    """Keeps every pushed task's `served()` at what the registry says, or said last."""

    def __init__(self, engine: sa.Engine, settings: Settings, lives: Mapping[str, LiveTask], sounded: Alerts) -> None:
        self._engine = engine
        self._settings = settings
        self._lives = lives
        self._complaints = LogOnce()
        self._alerts = sounded
        for name in lives:
            sounded.watch(name)
        self._reloads = Reloads(engine)
        self._anew: set[str] = set()
        self._polled = threading.Event()
        self._rhythm = PeriodicThread("pushed-champions", settings.alias_poll_seconds, self.poll)
        self.heard: Mapping[str, int | None] = {}
        """Where the alias of each task stood at the last poll; empty when the registry did not answer."""

    def start(self) -> None:
        """Begins; returns when it is known who answers, unless that takes long."""
        if self._settings.mlflow_url:
            self._rhythm.start()
            self._polled.wait(_FIRST_POLL_SECONDS)

    def stop(self, seconds: float = 2.0) -> None:
        """Ends, after a poll that is under way."""
        self._rhythm.stop(seconds)

    def poll(self) -> None:
        """Asks once where every alias stands, and follows."""
        lives = dict(self._lives)
        heard: dict[str, int | None] = {}
        try:
            for name in lives:
                heard[name] = (registry.aliases(self._settings, name) or {}).get(CHAMPION)
        except RegistryUnreachableError as error:
            heard = {}
            self._complaints.open("registry", "MLflow does not answer; who answers stays.", error.problem)
        else:
            self._complaints.close("registry", "MLflow answers again.")
        self.heard = heard
        self._begin_anew()
        for name, live in lives.items():
            try:
                self._follow(live, heard)
                if name in heard:
                    self._alerts.clear(name, "champion_refused")
                self._complaints.close(f"champion/{name}", f"The champion of {name} is followed again.")
            except ContenderError as error:
                number = heard.get(name)
                if number is not None and not isinstance(error, UnreachableError):
                    alerts.refused(self._alerts, name, number, error)
                self._complaints.open(
                    f"champion/{name}", "The champion cannot be followed; who answered before answers on.", str(error),
                    task=name,
                )  # fmt: skip
        self._polled.set()

    def _begin_anew(self) -> None:
        """Where a reload was asked: who is frozen answers on, and is loaded and checked again."""
        with suppress(DatabaseUnreachableError):
            self._anew |= self._reloads.due() & self._lives.keys()

    def _follow(self, live: LiveTask, heard: Mapping[str, int | None]) -> None:
        """Chooses who answers; while the registry is silent, the choice made last stands: in doubt, the ledger's."""
        number = heard.get(live.log)
        if number is not None:
            self._alerts.clear(live.log, "champion_lost")
            self._complaints.close(f"alias/{live.log}", f"The champion alias of {live.log} is back.")
            self._choose(live, number)
        elif live.log in heard:
            self._miss(live)
        elif live.chosen.held is None:
            self._take_up(live)

    def _miss(self, live: LiveTask) -> None:
        """The alias stands nowhere: before the first version that is as it should be, afterwards it is a loss."""
        last = ledger.last_held(self._engine, live.log, CHAMPION)
        held = live.chosen.held
        if last is not None:
            version = held.version if held is not None and held.frozen is not None else last.version
            alerts.lost(self._alerts, live.log, version)
            self._complaints.open(
                f"alias/{live.log}", "The champion alias is gone; who answered before answers on.", "no alias",
                task=live.log, alert="champion_lost", version=version,
            )  # fmt: skip
        if held is None:
            self._take_up(live)
        elif held.frozen is None:
            self._choose(live, None)

    def _take_up(self, live: LiveTask) -> None:
        """Who answered before this worker began, as far as the ledger knows: a pinned version, or the live learner."""
        standing = ledger.standing(self._engine, live.log).get(CHAMPION)
        last = ledger.last_held(self._engine, live.log, CHAMPION)
        if standing is not None and standing.version is None:
            standing = last if last is not None and last.pinned else None
        self._choose(live, None if standing is None else standing.version)

    def _choose(self, live: LiveTask, number: int | None) -> None:
        newest = outbox.newest_version(self._engine, live.live.key)
        if number is None or number == newest:
            live.chosen.held = Choice(newest)
            return
        held = live.chosen.held
        is_known = held is not None and held.frozen is not None and held.version == number
        if is_known and live.log not in self._anew:
            return
        asked = outbox.of_version(self._engine, live.log, number)
        if asked is None:
            if versions.find(self._engine, live.log, number) is not None:
                return  # just registered: the row of the outbox is settled after the alias was moved
            raise NotFoundError(
                f"Version {number} of {live.log!r} was not made of a checkpoint of ours.",
                "Move the alias to a version that this installation has registered.",
            )
        if asked.key == live.live.key or self._is_by_hand(live.log, number):
            live.chosen.held = Choice(number, self._freeze(live, asked, number))
            self._anew.discard(live.log)
        else:
            live.chosen.held = Choice(newest)

    def _is_by_hand(self, log: str, number: int) -> bool:
        standing = ledger.standing(self._engine, log).get(CHAMPION)
        return standing is None or standing.pinned or standing.version != number

    def _freeze(self, live: LiveTask, asked: PendingRegistration, number: int) -> FrozenLearner:
        """The learner of a version, which repeats what it said when the version was made."""
        learner = checkpoints.at(self._engine, asked.key, asked.last_seq, pushed_learner_factory(live.task, asked.key))
        version = versions.find(self._engine, live.log, number)
        if version is None:
            return FrozenLearner(learner)
        golden = version.golden
        said = [learner.ask(row, series) for row, series in zip(golden["rows"], golden["series"], strict=True)]
        if not validation.repeats_itself(version, said):
            raise DataRefusedError(
                f"Version {number} of {live.log!r} does not repeat the predictions it was recorded with.",
                "Its libraries may have changed since: move the alias to another version.",
            )
        return FrozenLearner(learner)
