"""WSGI middleware that answers the two busiest kinds of request before Flask: known predictions, and rows to learn.

Flask's routing and its request objects cost about 300 µs, several times what a dictionary, a commit or a model cost.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from io import BytesIO
from time import perf_counter
from typing import Any

import msgspec

from core.auth.tokens import Role
from core.errors import ContenderError, UnreachableError
from serving.champion.state import ServingState
from serving.http.responses import ResponseCache
from serving.pushed.learning import Learning, encode
from serving.pushed.parsing import Action
from serving.runtime.prometheus import Metrics
from web import problems
from web.auth import AccessControl
from web.problems import Kind, RefusedError, refusal_response
from web.rate_limits import RateLimits
from web.strict_requests import LIMIT_BYTES

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

TOMORROW = "/predictionForTomorrow"
TOMORROW_TASK = "spy"
BY_TASK = "/tasks/<task>/prediction"
_BEFORE, _AFTER = BY_TASK.split("<task>")
_ACTIONS: dict[str, Action] = {"/predict": "predict", "/train": "train", "/predict_learn": "predict_learn"}
_DEFAULT_TASK = "live"
_MALFORMED = Kind(400, "malformed", "Bad request")


class FastPath:
    """Answers GETs of cached predictions and plain POSTs of rows; leaves every other request to Flask.

    Args:
        flask: the application behind it.
        kinds: the HTTP problem of each error, as Flask's error handlers have it.
    """

    def __init__(
        self,
        flask: WSGI,
        state: ServingState,
        responses: ResponseCache,
        learning: Learning,
        kinds: Mapping[type[ContenderError], Kind],
        metrics: Metrics,
        access: AccessControl,
        limits: RateLimits,
    ) -> None:
        self._flask = flask
        self._state = state
        self._responses = responses
        self._learning = learning
        self._kinds = kinds
        self._metrics = metrics
        self._access = access
        self._limits = limits

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        started = perf_counter()
        method: str = environ["REQUEST_METHOD"]
        answered = None
        if method == "GET":
            answered = self._cached_prediction(environ, start_response, started)
        elif method == "POST":
            answered = self._rows(environ, start_response, started)
        return self._flask(environ, start_response) if answered is None else answered

    def _cached_prediction(
        self, environ: dict[str, Any], start_response: StartResponse, started: float
    ) -> Iterable[bytes] | None:
        """A prediction that was composed before for the same query string; None where there is none."""
        path: str = environ["PATH_INFO"]
        if path == TOMORROW:
            rule, task = TOMORROW, TOMORROW_TASK
        elif path.startswith(_BEFORE) and path.endswith(_AFTER):
            rule, task = BY_TASK, path[len(_BEFORE) : -len(_AFTER)]
        else:
            return None
        prediction = self._state.predictions.get(task)
        if prediction is None:
            return None
        sent = self._responses.cached(prediction, environ.get("QUERY_STRING", ""))
        if sent is None:
            return None
        start_response("200 OK", sent.headers)
        self._metrics.count(rule, 200, perf_counter() - started)
        return [sent.body]

    def _rows(self, environ: dict[str, Any], start_response: StartResponse, started: float) -> Iterable[bytes] | None:
        """The answer to rows in a plain JSON body of declared length; None for what Flask has to look at."""
        path: str = environ["PATH_INFO"]
        action = _ACTIONS.get(path)
        if action is None:
            return None
        task = _task(environ.get("QUERY_STRING", ""))
        length = environ.get("CONTENT_LENGTH", "")
        # Without a length (chunked) or too long: Flask refuses it in words.
        is_plain = length.isdecimal() and 0 < int(length) <= LIMIT_BYTES
        if task is None or not is_plain or not _is_json(environ.get("CONTENT_TYPE", "")):
            return None
        try:
            self._admit(action, environ)
        except RefusedError as error:
            self._metrics.count(path, error.kind.status, perf_counter() - started)
            return refusal_response(error)(environ, start_response)
        except UnreachableError:
            # The body is read although Flask will refuse: a client that is still sending when the answer comes sees
            # a reset connection instead of the answer.
            environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(length)))
            return None
        status, media, body = self._learn(action, task, path, environ["wsgi.input"].read(int(length)))
        start_response(
            f"{status} {HTTPStatus(status).phrase}", [("Content-Type", media), ("Content-Length", str(len(body)))]
        )
        self._metrics.count(path, status, perf_counter() - started)
        return [body]

    def _admit(self, action: Action, environ: dict[str, Any]) -> None:
        if action == "predict":
            self._limits.check(self._access.identity(environ))
        else:
            self._limits.check(self._access.admit(environ, Role.TRAINER).identity)

    def _learn(self, action: Action, task: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Status, media type and body of the answer."""
        try:
            answer = self._learning.handle(action, task, body)
            return answer.status, "application/json", encode(answer.body)
        except msgspec.DecodeError as error:
            kind, detail = _MALFORMED, f"The body is not JSON: {error}."
        except Exception as error:  # noqa: BLE001 (Flask's error handlers, which answer every fault, are not reached)
            kind, detail = problems.describe(error, self._kinds, path)
        return kind.status, problems.MEDIA_TYPE, problems.to_problem(kind, detail).model_dump_json().encode() + b"\n"


def _task(query: str) -> str | None:
    """The pushed task that a query string names; None where the query string has anything else."""
    if not query:
        return _DEFAULT_TASK
    name = query.removeprefix("task=")
    return name if name != query and name.replace("-", "").isalnum() else None


def _is_json(media: str) -> bool:
    return media == "application/json" or media.startswith("application/json;")
