"""The API: `create_app` composes board, follower, log and routes, and starts the threads of one worker."""

from pathlib import Path
from time import perf_counter

import sqlalchemy as sa
from flask import Response, g, request
from flask_openapi3.openapi import OpenAPI

from core.config.settings import Settings
from core.db.engine import connect
from core.errors import ContenderError
from core.jobs.clock import Clock, SystemClock
from serving import learning_service, management
from serving.champion.poller import Follower
from serving.champion.predictor import NoPredictionError, NoThresholdError
from serving.champion.state import NoChampionError, NoDataError, ServingState
from serving.http import prediction_routes
from serving.http.management import ManagementContext
from serving.http.responses import ResponseCache
from serving.http.shortcut import Shortcut
from serving.learning_service import LearningService
from serving.prediction_log.log import PredictionLog
from serving.runtime.alerts import Alerts
from serving.runtime.prometheus import Metrics
from web import app as web
from web import problems, roles
from web.problems import INVALID, Kind

EXTENSION = "contender"
_KINDS: dict[type[ContenderError], Kind] = {
    NoChampionError: Kind(503, "no_champion", "No champion yet"),
    NoDataError: Kind(503, "no_data", "No data yet"),
    NoPredictionError: Kind(503, "no_prediction", "No prediction yet"),
    NoThresholdError: INVALID,
    **learning_service.KINDS,
    **management.KINDS,
}
_DESCRIPTION = (
    "The champions' predictions. Batch and incremental models contend on one scoreboard; whoever holds the alias "
    "`champion` in the MLflow registry answers here. Every answer names the version that gave it and is logged."
)


class PredictionService:
    """What runs behind the routes of one worker."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        settings.require_mlflow_url()
        self.engine: sa.Engine = connect(settings.require_database_url(), schema=settings.schema_name)
        self.metrics = Metrics(metrics_folder(settings))
        self.board = ServingState()
        self.alerts = Alerts(self.metrics)
        self.log = PredictionLog(settings.spool, self.engine, self.metrics)
        self.desk = ResponseCache(self.log, clock)
        self.follower = Follower(settings, self.engine, clock, self.board, self.metrics, self.alerts)
        self.learning = LearningService(settings, clock, self.alerts, self.follower.watched)

    def start(self) -> None:
        """Starts the threads; returns when what can be served is served."""
        self.log.start()
        self.learning.start()
        self.follower.start()

    def stop(self) -> None:
        """Ends the threads and writes down what was answered."""
        self.follower.stop()
        self.learning.stop()
        self.log.stop()
        self.engine.dispose()


def create_app(settings: Settings, clock: Clock | None = None) -> OpenAPI:
    """The app of one worker, its threads running. `app.extensions["contender"]` is its Service, to be stopped."""
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
    app.extensions[EXTENSION] = service
    prediction_routes.add_predictions(app, service.board, service.desk, clock, service.alerts)
    service.learning.add_to(app, service.metrics, {**problems.KINDS, **_KINDS})
    management.add(app, ManagementContext(service.engine, settings, clock, service.learning.learning))
    lives = service.learning.lives
    prediction_routes.add_service(
        app, service.board, service.metrics, clock, settings.alias_poll_seconds, lives, service.alerts
    )
    _count_requests(app, service.metrics)
    app.wsgi_app = Shortcut(app.wsgi_app, service.board, service.desk, service.metrics)  # type: ignore[method-assign]
    service.start()
    return app


def metrics_folder(settings: Settings) -> Path:
    """Where the workers count."""
    return settings.home / "metrics"


def _count_requests(app: OpenAPI, metrics: Metrics) -> None:
    """Counts what the shortcut left to Flask, by route: unknown paths are one, so that nobody can make up labels."""

    @app.before_request
    def begin() -> None:
        g.started = perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        rule = request.url_rule.rule if request.url_rule is not None else "(none)"
        metrics.count(rule, response.status_code, perf_counter() - g.get("started", perf_counter()))
        return response
