"""What runs behind the learning endpoints of one worker: the learners, who follows the logs, who stores."""

from collections.abc import Mapping

from flask_openapi3.openapi import OpenAPI

from core.config.settings import Settings
from core.config.task_files import pushed_names
from core.db.engine import connect
from core.errors import ContenderError
from core.jobs.clock import Clock
from serving.http import learning_routes
from serving.http.fast_path import FastLane
from serving.pushed.checkpointer import Checkpointer
from serving.pushed.follower import PushedChampions
from serving.pushed.learner_swap import LiveShelf
from serving.pushed.learning import Learning, QuarantinedError
from serving.pushed.parsing import InvalidRowsError, TooManyRowsError
from serving.pushed.registrar import Registrar
from serving.pushed.tasks import open_tasks
from serving.runtime.alerts import Alerts
from serving.runtime.complaints import LogOnce
from serving.runtime.log_listener import LogWatch, WatchedLog
from serving.runtime.override_loader import Configured
from serving.runtime.prometheus import Metrics
from training.event_log.events import EventConflictError
from web import problems, roles
from web.auth import AccessControl
from web.problems import INVALID, Kind
from web.rate_limits import RateLimits
from web.strict_requests import LIMIT_BYTES

KINDS: dict[type[ContenderError], Kind] = {
    InvalidRowsError: INVALID,
    TooManyRowsError: Kind(413, "too_large", "Too large"),
    QuarantinedError: Kind(422, "quarantined", "The row is not learned"),
    EventConflictError: Kind(409, "conflict", "The id was used before"),
}


class LearningService:
    """The pushed tasks of one worker. `watched`: what else follows logs."""

    def __init__(self, settings: Settings, clock: Clock, alerts: Alerts, *watched: Mapping[str, WatchedLog]) -> None:
        self._settings = settings
        # Each learner keeps a connection to read its log and one to append to it; the rest come and go.
        lasting = 1 + 2 * len(pushed_names(settings.tasks))
        self._engine = connect(settings.require_database_url(), schema=settings.schema_name, pool_size=lasting + 4)
        engine = self._engine
        self.access = AccessControl(engine, settings.api_host)
        complaints = LogOnce()
        configured = Configured(engine, settings.bundles, complaints)
        self.lives = open_tasks(engine, settings, complaints, configured.newest())
        self.learning = Learning(engine, self.lives, _told)
        self._watch = LogWatch(engine, self.lives, *watched)
        self._keeper = Checkpointer(engine, self.lives, clock)
        self._champions = PushedChampions(engine, settings, self.lives, alerts)
        self._registrar = Registrar(engine, settings, self.lives, self._champions)
        self._shelf = LiveShelf(engine, settings, self.lives, configured, complaints)

    def add_to(self, app: OpenAPI, metrics: Metrics, kinds: Mapping[type[ContenderError], Kind]) -> None:
        """Adds the routes, the guard and the limits, and the way past Flask."""
        roles.install(app, self.access)
        limits = RateLimits(app, self._settings.rate_limit, self.access, self._settings.rate_limit_storage)
        learning_routes.add(app, self.learning)
        lane = FastLane(app.wsgi_app, self.learning, kinds, metrics, self.access, limits, LIMIT_BYTES)
        app.wsgi_app = lane  # type: ignore[method-assign]

    def start(self) -> None:
        """Starts the threads."""
        self.access.start()
        self._watch.start()
        self._keeper.start()
        self._shelf.start()
        self._champions.start()
        self._registrar.start()

    def stop(self) -> None:
        """Ends them, and stores what was learned since the last checkpoint."""
        self._registrar.stop()
        self._champions.stop()
        self._shelf.stop()
        self._watch.stop()
        self._keeper.stop()
        self.access.stop()
        for live in self.lives.values():
            live.intake.close()
            live.live.close()
        self._engine.dispose()


def _told(error: ContenderError) -> Mapping[str, object]:
    """A problem in the place of an answer, in a list."""
    return problems.to_problem(*problems.describe(error, {**problems.KINDS, **KINDS}, "a list of rows")).model_dump()
