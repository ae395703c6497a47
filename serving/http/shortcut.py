"""A way past Flask for predictions asked before: Flask spends 300 µs where a dictionary needs a few."""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from serving.champion.state import ServingState
from serving.http.responses import ResponseCache
from serving.runtime.prometheus import Metrics

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

TOMORROW = "/predictionForTomorrow"
TOMORROW_TASK = "spy"
BY_TASK = "/tasks/<task>/prediction"
_BEFORE, _AFTER = BY_TASK.split("<task>")


class Shortcut:
    """WSGI middleware: answers the GET of a prediction from its kept reply and leaves all else to Flask."""

    def __init__(self, flask: WSGI, board: ServingState, desk: ResponseCache, metrics: Metrics) -> None:
        self._flask = flask
        self._board = board
        self._desk = desk
        self._metrics = metrics

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        started = perf_counter()
        path: str = environ["PATH_INFO"]
        if path == TOMORROW:
            rule, task = TOMORROW, TOMORROW_TASK
        elif path.startswith(_BEFORE) and path.endswith(_AFTER):
            rule, task = BY_TASK, path[len(_BEFORE) : -len(_AFTER)]
        else:
            return self._flask(environ, start_response)
        standing = self._board.standings.get(task)
        if standing is not None and environ["REQUEST_METHOD"] == "GET":
            sent = self._desk.known(standing, environ.get("QUERY_STRING", ""))
            if sent is not None:
                start_response("200 OK", sent.headers)
                self._metrics.count(rule, 200, perf_counter() - started)
                return [sent.body]
        return self._flask(environ, start_response)
