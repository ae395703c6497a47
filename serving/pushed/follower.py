"""Follows the champion aliases of pushed tasks: which predictor answers /predict and /predict_many.

On the newest version of the contender that learns here, the alias means the running learner, which is ahead of it. On
an older version it means that version, frozen as its checkpoint is; so does another contender's version when a person
has moved the alias there. Otherwise the declaration or MODEL_NAME has chosen the contender that learns, and the alias
is about to follow. Rows are learned and scored by the running learner, whose predictions /predict_learn answers with.
"""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from core.errors import ContenderError, DataRefusedError, NotFoundError, UnreachableError
from serving.champion.poller import AliasPoll
from serving.pushed.tasks import AliasTarget, FrozenLearner, LoadedTask
from serving.runtime import alerts
from serving.runtime.alerts import Alerts
from serving.runtime.periodic import LogOnce
from training.learners import checkpoints, outbox
from training.learners.factory import pushed_learner_factory
from training.learners.outbox import PendingRegistration
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION
from training.registry import validation, versions


class PushedChampions:
    """Keeps the alias target of every pushed task at what MLflow answers, or answered last.

    Whatever fails here, what answered before answers on.
    """

    def __init__(self, engine: sa.Engine, tasks: Mapping[str, LoadedTask], raised: Alerts) -> None:
        self._engine = engine
        self._tasks = tasks
        self._alerts = raised
        for name in tasks:
            raised.reset(name)
        self._log_once = LogOnce()
        self._to_reload: set[str] = set()

    def refresh(self, reloads: frozenset[str]) -> Collection[str]:
        """Takes over requested reloads: a frozen version answers on until it was loaded and checked again."""
        self._to_reload |= reloads & self._tasks.keys()
        return list(self._tasks)

    def follow(self, name: str, poll: AliasPoll) -> None:
        """Chooses the predictor of one task; while MLflow does not answer, the last choice stays."""
        loaded = self._tasks[name]
        try:
            if poll.version is not None:
                self._alerts.clear(name, "champion_lost")
                self._log_once.resolved(f"alias/{name}", f"The champion alias of {name} is back.")
                self._choose(loaded, poll.version)
            elif poll.reached:
                self._follow_missing_alias(loaded)
            elif loaded.alias_target.current is None:
                self._choose_by_ledger(loaded)
            if poll.reached:
                self._alerts.clear(name, "champion_refused")
            self._log_once.resolved(f"champion/{name}", f"The champion of {name} is followed again.")
        except ContenderError as error:
            # An outage says nothing about the version that the alias names.
            if poll.version is not None and not isinstance(error, UnreachableError):
                alerts.refused(self._alerts, name, poll.version, error)
            self._log_once.problem(
                f"champion/{name}", "The champion cannot be followed; what answered before answers on.", str(error),
                task=name,
            )  # fmt: skip

    def _follow_missing_alias(self, loaded: LoadedTask) -> None:
        """There is no alias: expected before the first version, afterwards a loss."""
        last = ledger.last_state(self._engine, loaded.log, CHAMPION)
        current = loaded.alias_target.current
        if last is not None:
            version = current.version if current is not None and current.frozen is not None else last.version
            alerts.lost(self._alerts, loaded.log, version)
            self._log_once.problem(
                f"alias/{loaded.log}", "The champion alias is gone; what answered before answers on.", "no alias",
                task=loaded.log, alert="champion_lost", version=version,
            )  # fmt: skip
        if current is None:
            self._choose_by_ledger(loaded)
        elif current.frozen is None:
            self._choose(loaded, None)

    def _choose_by_ledger(self, loaded: LoadedTask) -> None:
        """What answered before this worker started, as far as the ledger knows: a pinned version, or the learner."""
        alias = ledger.alias_states(self._engine, loaded.log).get(CHAMPION)
        last = ledger.last_state(self._engine, loaded.log, CHAMPION)
        if alias is not None and alias.version is None:
            alias = last if last is not None and last.pinned else None
        self._choose(loaded, None if alias is None else alias.version)

    def _choose(self, loaded: LoadedTask, number: int | None) -> None:
        """Lets the version `number` answer, or the running learner where that version means it (None: always)."""
        newest = outbox.newest_version(self._engine, loaded.running.key)
        if number is None or number == newest:
            loaded.alias_target.current = AliasTarget(newest)
            return
        current = loaded.alias_target.current
        is_loaded = current is not None and current.frozen is not None and current.version == number
        if is_loaded and loaded.log not in self._to_reload:
            return
        registered = outbox.of_version(self._engine, loaded.log, number)
        if registered is None:
            if versions.find(self._engine, loaded.log, number) is not None:
                return  # just registered: the row of the outbox is settled after the alias was moved
            raise NotFoundError(
                f"Version {number} of {loaded.log!r} was not made of a checkpoint of ours.",
                "Move the alias to a version that this installation has registered.",
            )
        if number == outbox.newest_version(self._engine, loaded.running.key):
            # Settled between the two queries: not an older version, but the newest, which the learner answers for.
            loaded.alias_target.current = AliasTarget(number)
        elif registered.key == loaded.running.key or self._is_by_hand(loaded.log, number):
            loaded.alias_target.current = AliasTarget(number, self._restore(loaded, registered, number))
            # After it was loaded: a reload that failed is tried again at the next poll.
            self._to_reload.discard(loaded.log)
        else:
            loaded.alias_target.current = AliasTarget(newest)

    def _is_by_hand(self, log: str, number: int) -> bool:
        # The ledger has every move of the gate: an alias that is elsewhere was moved by a person.
        alias = ledger.alias_states(self._engine, log).get(CHAMPION)
        return alias is None or alias.pinned or alias.version != number

    def _restore(self, loaded: LoadedTask, registered: PendingRegistration, number: int) -> FrozenLearner:
        """The learner as it was when the version was made; it must repeat the version's golden predictions."""
        make = pushed_learner_factory(loaded.task, registered.key)
        learner = checkpoints.at(self._engine, registered.key, registered.last_seq, make)
        version = versions.find(self._engine, loaded.log, number)
        if version is None:
            return FrozenLearner(learner)
        golden = version.golden
        predicted = [learner.predict(row, series) for row, series in zip(golden["rows"], golden["series"], strict=True)]
        if not validation.reproduces_golden_batch(version, predicted):
            raise DataRefusedError(
                f"Version {number} of {loaded.log!r} does not repeat the predictions it was recorded with.",
                "Its libraries may have changed since: move the alias to another version.",
            )
        return FrozenLearner(learner)
