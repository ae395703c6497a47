"""The API's composition root: `create_app` wires one worker together and starts its threads."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Protocol

import sqlalchemy as sa
from flask import Response, g, request
from flask_openapi3.openapi import OpenAPI

from core.config.settings import Settings
from core.config.task_files import pushed_names
from core.config.task_overrides import StaleNumberError
from core.db.engine import connect
from core.errors import ContenderError
from core.jobs.clock import Clock, SystemClock
from serving.champion.follower import Dependencies
from serving.champion.model_cache import Bundles
from serving.champion.poller import AliasPoller
from serving.champion.predictor import NoPredictionError, NoThresholdError
from serving.champion.state import NoChampionError, NoDataError, ServingState
from serving.champion.stored_champions import StoredChampions
from serving.champion.task_watcher import TaskWatcher
from serving.http import alias_routes, learning_admin_routes, learning_routes, prediction_routes, task_routes
from serving.http.fast_path import FastPath
from serving.http.management import ManagementContext
from serving.http.responses import ResponseCache
from serving.prediction_log.log import PredictionLog
from serving.pushed.checkpointer import Checkpointer
from serving.pushed.control import NotPushedError, ReleasedError
from serving.pushed.follower import PushedChampions
from serving.pushed.learner_swap import LearnerSwap
from serving.pushed.learning import Learning, QuarantinedError
from serving.pushed.parsing import InvalidRowsError, TooManyRowsError
from serving.pushed.registrar import Registrar
from serving.pushed.tasks import open_tasks
from serving.runtime import reloads
from serving.runtime.alerts import Alerts
from serving.runtime.log_listener import LogFollower, LogListener
from serving.runtime.override_loader import OverrideLoader
from serving.runtime.periodic import LogOnce, PeriodicThread
from serving.runtime.prometheus import Metrics
from training.event_log.events import EventConflictError
from training.override_commands import DeclarationError
from web import app as web
from web import problems, roles
from web.auth import AccessControl
from web.problems import INVALID, Kind
from web.rate_limits import RateLimits

EXTENSION = "contender"
_KINDS: dict[type[ContenderError], Kind] = {
    NoChampionError: Kind(503, "no_champion", "No champion yet"),
    NoDataError: Kind(503, "no_data", "No data yet"),
    NoPredictionError: Kind(503, "no_prediction", "No prediction yet"),
    NoThresholdError: INVALID,
    InvalidRowsError: INVALID,
    TooManyRowsError: Kind(413, "too_large", "Too large"),
    QuarantinedError: Kind(422, "quarantined", "The row is not learned"),
    EventConflictError: Kind(409, "conflict", "The id was used before"),
    StaleNumberError: Kind(409, "stale_number", "The number is not the newest"),
    DeclarationError: Kind(422, "invalid_declaration", "The declaration cannot be used"),
    NotPushedError: Kind(409, "not_pushed", "The task's rows are not pushed"),
    ReleasedError: Kind(409, "released", "The row was released before"),
}
_DESCRIPTION = (
    "The champions' predictions. Batch and incremental models contend on one scoreboard; whichever version holds the "
    "alias `champion` in the MLflow registry answers here. Every answer names the version that gave it and is logged."
)


class Background(Protocol):
    """What has threads."""

    def start(self) -> None:
        """Starts them."""
        ...

    def stop(self) -> None:
        """Ends them."""
        ...


class PredictionService:
    """What runs behind the routes of one worker."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        settings.require_mlflow_url()
        engine_of = partial(connect, settings.require_database_url(), schema=settings.schema_name)
        self.engine: sa.Engine = engine_of()
        # Each learner keeps a connection to read its log and one to append to it; the rest come and go.
        self._pushed_engine = engine_of(pool_size=1 + 2 * len(pushed_names(settings.tasks)) + 4)
        self.metrics = Metrics(metrics_folder(settings))
        self.state = ServingState()
        self.alerts = Alerts(self.metrics)
        self.access = AccessControl(self._pushed_engine, settings.api_host)
        log_once = LogOnce()

        overrides = OverrideLoader(self.engine, settings.bundles, log_once)
        self._loader = PeriodicThread("loader", settings.alias_poll_seconds, self._load)
        watcher = TaskWatcher(
            settings.tasks, overrides.newest, partial(reloads.counts, self.engine), log_once, self._loader.wake
        )

        # Filled by the poller's thread as champions that learn appear, and read by the listener's.
        log_followers: dict[str, LogFollower] = {}
        bundles = Bundles(settings, self.engine)
        self.stored = StoredChampions(
            watcher,
            Dependencies(
                self.engine, clock, self.state, bundles, self.metrics, log_once, self.alerts, log_followers, self._wake
            ),
        )
        self.pushed_tasks = open_tasks(self._pushed_engine, settings, log_once, overrides.newest())
        pushed = PushedChampions(self._pushed_engine, self.pushed_tasks, self.alerts)
        self._swap = LearnerSwap(self._pushed_engine, settings, self.pushed_tasks, watcher, log_once)
        self.poller = AliasPoller(settings, self.state, self.metrics, watcher, log_once, (self.stored, pushed))
        self._watcher = watcher

        self.log = PredictionLog(settings.spool, self.engine, self.metrics)
        self.responses = ResponseCache(self.log, clock)
        self.learning = Learning(self._pushed_engine, self.pushed_tasks, _problem)
        checkpointer = Checkpointer(self._pushed_engine, self.pushed_tasks, clock)
        listener = LogListener(self._pushed_engine, self.pushed_tasks, log_followers)
        registrar = Registrar(self._pushed_engine, settings, self.pushed_tasks, self.poller)
        # Stopped in the opposite order: the checkpointer stores what was learned until the listener stopped, and the
        # log is last to take answers. The poller starts late because its start waits for the first poll.
        self._background: list[Background] = [
            self.log, self.access, checkpointer, listener, self.poller, self._loader, registrar
        ]  # fmt: skip

    def start(self) -> None:
        """Starts the threads; returns when what can be served is served."""
        # Before the first poll, which may wait for MLflow: what served last answers from disk meanwhile.
        self._watcher.look()
        self.stored.restore()
        for background in self._background:
            background.start()

    def stop(self) -> None:
        """Ends the threads, writes down what was answered, and stores what was learned."""
        for background in reversed(self._background):
            background.stop()
        for loaded in self.pushed_tasks.values():
            loaded.committer.close()
            loaded.running.close()
        # Only now: each of the above may still write.
        self._pushed_engine.dispose()
        self.engine.dispose()

    def _wake(self) -> None:
        self.poller.wake()

    def _load(self) -> None:
        """What takes long and must hold up neither polls nor requests."""
        self._swap.look()
        self.stored.warm()


def create_app(settings: Settings, clock: Clock | None = None) -> OpenAPI:
    """The app of one worker, its threads running. `app.extensions[EXTENSION]` is its service, to be stopped."""
    clock = clock or SystemClock()
    service = PredictionService(settings, clock)
    app = web.create_app(
        __name__,
        title="Contender",
        description=_DESCRIPTION,
        version="1.0.0",
        home_page=(Path(__file__).parent / "pages" / "index.html").read_text(),
        kinds=_KINDS,
        security_schemes=roles.SECURITY_SCHEMES,
    )
    # The server has no hook for a worker's end: `serving.worker` finds here what it has to stop.
    app.extensions[EXTENSION] = service
    _add_routes(app, service, settings, clock)
    _count_requests(app, service.metrics)
    service.start()
    return app


def metrics_folder(settings: Settings) -> Path:
    """Where the workers keep their counters."""
    return settings.home / "metrics"


def _add_routes(app: OpenAPI, service: PredictionService, settings: Settings, clock: Clock) -> None:
    """Adds access control, limits, routes and the fast path. Their order is that of the OpenAPI document."""
    prediction_routes.add_predictions(app, service.state, service.responses, clock, service.alerts)
    # Before the limits, which count by the sender that the role check has found.
    roles.install(app, service.access)
    limits = RateLimits(app, settings.rate_limit, service.access, settings.rate_limit_storage)
    learning_routes.add(app, service.learning)
    context = ManagementContext(service.engine, settings, clock, service.learning)
    for management in (alias_routes, learning_admin_routes, task_routes):
        management.add(app, context)
    prediction_routes.add_service(
        app, service.state, service.metrics, clock, settings.alias_poll_seconds, service.pushed_tasks, service.alerts
    )
    app.wsgi_app = FastPath(  # type: ignore[method-assign]
        app.wsgi_app, service.state, service.responses, service.learning, _ALL_KINDS, service.metrics, service.access,
        limits,
    )  # fmt: skip


_ALL_KINDS: Mapping[type[ContenderError], Kind] = {**problems.KINDS, **_KINDS}


def _problem(error: ContenderError) -> Mapping[str, object]:
    """The problem that takes the place of an answer in the answers to a list of rows."""
    return problems.to_problem(*problems.describe(error, _ALL_KINDS, "a list of rows")).model_dump()


def _count_requests(app: OpenAPI, metrics: Metrics) -> None:
    """Counts the requests that reach Flask, by route."""

    @app.before_request
    def begin() -> None:
        g.started = perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        # Unknown paths are one label: otherwise clients could make up labels without end.
        rule = request.url_rule.rule if request.url_rule is not None else "(none)"
        metrics.count(rule, response.status_code, perf_counter() - g.get("started", perf_counter()))
        return response
