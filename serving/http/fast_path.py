"""A way past Flask for rows: its routing and its request cost several times what a commit and a model cost."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from io import BytesIO
from time import perf_counter
from typing import Any

import msgspec

from core.auth.tokens import Role
from core.errors import ContenderError, UnreachableError
from serving.pushed.learning import Learning, encode
from serving.pushed.parsing import Action
from serving.runtime.prometheus import Metrics
from web import problems
from web.auth import AccessControl
from web.problems import Kind, RefusedError, refusal_response
from web.rate_limits import RateLimits

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

ACTIONS: dict[str, Action] = {"/predict": "predict", "/train": "train", "/predict_learn": "predict_learn"}
DEFAULT_TASK = "live"
_MALFORMED = Kind(400, "malformed", "Bad request")


class FastLane:
    """WSGI middleware: takes the POSTs of rows that are sent plainly, and leaves all else to Flask."""

    def __init__(
        self,
        flask: WSGI,
        learning: Learning,
        kinds: Mapping[type[ContenderError], Kind],
        metrics: Metrics,
        access: AccessControl,
        limits: RateLimits,
        most_bytes: int,
    ) -> None:
        self._flask = flask
        self._learning = learning
        self._kinds = kinds
        self._metrics = metrics
        self._access = access
        self._limits = limits
        self._most_bytes = most_bytes

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        started = perf_counter()
        path: str = environ["PATH_INFO"]
        action = ACTIONS.get(path)
        if action is None or environ["REQUEST_METHOD"] != "POST":
            return self._flask(environ, start_response)
        task = _task(environ.get("QUERY_STRING", ""))
        length = environ.get("CONTENT_LENGTH", "")
        is_plain = length.isdecimal() and 0 < int(length) <= self._most_bytes
        if task is None or not is_plain or not _is_json(environ.get("CONTENT_TYPE", "")):
            return self._flask(environ, start_response)
        try:
            self._let_in(action, environ)
        except RefusedError as error:
            self._metrics.count(path, error.kind.status, perf_counter() - started)
            return refusal_response(error)(environ, start_response)
        except UnreachableError:
            # Read all the same: who is still sending when the answer comes sees a torn connection and no answer.
            environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(length)))
            return self._flask(environ, start_response)
        status, media, body = self._answer(action, task, path, environ["wsgi.input"].read(int(length)))
        start_response(
            f"{status} {HTTPStatus(status).phrase}", [("Content-Type", media), ("Content-Length", str(len(body)))]
        )
        self._metrics.count(path, status, perf_counter() - started)
        return [body]

    def _let_in(self, action: Action, environ: dict[str, Any]) -> None:
        if action == "predict":
            self._limits.check(self._access.identity(environ))
        else:
            self._limits.check(self._access.admit(environ, Role.TRAINER).identity)

    def _answer(self, action: Action, task: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        try:
            said = self._learning.do(action, task, body)
            return said.status, "application/json", encode(said.body)
        except msgspec.DecodeError as error:
            kind, detail = _MALFORMED, f"The body is not JSON: {error}."
        except Exception as error:  # noqa: BLE001 (told as every service tells its faults)
            kind, detail = problems.describe(error, self._kinds, path)
        return kind.status, problems.MEDIA_TYPE, problems.to_problem(kind, detail).model_dump_json().encode() + b"\n"


def _task(query: str) -> str | None:
    """The task that is spoken to; None where the query says more than that."""
    if not query:
        return DEFAULT_TASK
    name = query.removeprefix("task=")
    return name if name != query and name.replace("-", "").isalnum() else None


def _is_json(media: str) -> bool:
    return media == "application/json" or media.startswith("application/json;")
