"""Responses as bytes, composed once and sent many times, by the route and by the fast path before it."""

import itertools
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from core.jobs.clock import Clock
from serving.champion.predictor import Answer, ServedPrediction
from serving.prediction_log.log import PredictionLog
from serving.prediction_log.postgres import LoggedAnswer

KEPT_REPLIES = 256
"""Replies kept of one prediction; at that many different query strings all are dropped."""


@dataclass(frozen=True)
class Reply:
    """A body and its headers."""

    body: bytes
    headers: tuple[tuple[str, str], ...]
    # The end of the day (UTC): the age of the data in days is part of the body.
    good_until: datetime
    logged: LoggedAnswer


@dataclass(frozen=True)
class Sent:
    """A reply as it is sent to one client, with the id under which it is logged."""

    body: bytes
    headers: list[tuple[str, str]]


class ResponseCache:
    """Composes and keeps replies; each delivery has an id of its own and is logged."""

    def __init__(self, log: PredictionLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        # A random head for this process, then a counter: a tenth of the cost of uuid4, and in order for the index.
        self._id_head = str(uuid.uuid4())[:24]
        self._numbers = itertools.count()

    def make(self, prediction: ServedPrediction, query: str, threshold: float | None) -> Sent:
        """Composes the reply to a query string, and keeps it for the next request with the same one."""
        now = self._clock.now()
        reply = compose(prediction, prediction.answer(threshold, now.date()), now)
        if len(prediction.replies) >= KEPT_REPLIES:
            # As a whole: clients use a handful of thresholds, for which an order of use is not worth keeping.
            prediction.replies.clear()
        # By the raw query string: the fast path would spend more on parsing it than on the answer.
        prediction.replies[query] = reply
        return self._send(reply, now)

    def cached(self, prediction: ServedPrediction, query: str) -> Sent | None:
        """The kept reply to a query string, if it was composed today; None otherwise."""
        reply: Reply | None = prediction.replies.get(query)
        if reply is None:
            return None
        now = self._clock.now()
        return self._send(reply, now) if now < reply.good_until else None

    def _send(self, reply: Reply, now: datetime) -> Sent:
        identity = f"{self._id_head}{next(self._numbers):012x}"
        self._log.add(identity, reply.logged, now)
        return Sent(reply.body, [*reply.headers, ("X-Prediction-Id", identity)])


def compose(prediction: ServedPrediction, answer: Answer, now: datetime) -> Reply:
    """The reply to a request, with headers that name the version that answers."""
    body = json.dumps(answer.fields(), allow_nan=False, separators=(",", ":")).encode() + b"\n"
    version = prediction.champion.version
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Model-Version", str(version.version)),
        ("X-Run-Id", version.run_id),
    )
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), tzinfo=UTC)
    return Reply(body, headers, midnight, LoggedAnswer.of(prediction, answer))
