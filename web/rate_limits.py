"""Rate limits: how many requests one sender may make, per token, or per address without one.

The counts are in the memory of each worker process, so that N workers allow up to N times the rate; or in a Redis,
where all workers of all replicas count together. Reading is not counted: no probe or scrape is ever refused.
"""

import math
import time
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from flask import Flask, Response, g, request
from flask_limiter import Limiter, RateLimitExceeded, RequestLimit
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage, Storage

from core.logs import get_log
from web.auth import AccessControl
from web.problems import Kind, RefusedError, problem_response, refusal_response

TOO_MANY = Kind(429, "too_many_requests", "Too many requests")
RESPONSES: dict[str | int, Any] = {
    "429": problem_response("More requests than one sender may make (`too_many_requests`); see Retry-After.")
}
"""The responses of a limited route, besides its own."""
_SCOPE = "global"  # as the library calls what all routes of an app share
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_MEMORY_SCHEME, _SHARED_PREFIX = "swept-memory", "shared+"  # by these URIs the library finds the two storages below
_SWEEP_SECONDS = 30.0
_ANSWER_SECONDS = 0.25
_AWAY_SECONDS = 5.0
T = TypeVar("T")


class RateLimits:
    """One rate, such as "100/minute", shared by an app's routes and by requests that are answered before Flask.

    Args:
        app: its role checks (`web.roles.install`) are in place, for routes with a role count even when they are a GET.
        rate: requests per time.
        access: identifies the sender.
        storage: the redis://… to count in; empty: this worker's memory.
    """

    def __init__(self, app: Flask, rate: str, access: AccessControl, storage: str = "") -> None:
        def identify() -> str:
            return g.principal.identity if "principal" in g else access.identity(request.environ)

        self._item: RateLimitItem = parse(rate)
        self._limiter = Limiter(
            identify,
            application_limits=[rate],
            storage_uri=f"{_SHARED_PREFIX}{storage}" if storage else f"{_MEMORY_SCHEME}://",
            strategy="fixed-window",
            on_breach=_breached,
        )
        self._limiter.request_filter(lambda: request.method in _READING and "principal" not in g)
        self._limiter.init_app(app)
        app.register_error_handler(RateLimitExceeded, lambda error: error.response)

    def allowed(self, identity: str, cost: int = 1) -> int:
        """Count a request that Flask does not see. Returns 0 when it may proceed, else the whole seconds to wait."""
        if self._limiter.limiter.hit(self._item, identity, _SCOPE, cost=cost):
            return 0
        reset_at, _ = self._limiter.limiter.get_window_stats(self._item, identity, _SCOPE)
        return _seconds_until(reset_at)

    def check(self, identity: str, cost: int = 1) -> None:
        """Count a request as `allowed` does. Raises RefusedError (429) when it must wait."""
        seconds = self.allowed(identity, cost)
        if seconds:
            raise too_many(seconds)


def too_many(seconds: int) -> RefusedError:
    """The refusal of a request that may be repeated after so many seconds."""
    return RefusedError(
        TOO_MANY,
        "More requests came from this sender than one may make.",
        f"Try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )


def _breached(limit: RequestLimit) -> Response:
    return refusal_response(too_many(_seconds_until(limit.window[0])))


def _seconds_until(reset_at: float) -> int:
    return max(1, math.ceil(reset_at - time.time()))


class _SweepTimer:
    """Replaces the library's timer thread: always alive, it sweeps when it is checked."""

    def __init__(self, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._due = monotonic() + _SWEEP_SECONDS

    def is_alive(self) -> bool:
        """Called by the library at each count; from time to time drops the counts that have expired."""
        now = monotonic()
        if now >= self._due:
            self._due = now + _SWEEP_SECONDS
            self._expire()
        return True


class ThreadlessMemoryStorage(MemoryStorage):
    """MemoryStorage without its threads.

    Under load the library starts a thread every 10 ms to drop expired counts, and the request that starts it waits
    until it runs: more than half the cost of a request that learns a row.
    """

    STORAGE_SCHEME = [_MEMORY_SCHEME]  # noqa: RUF012 (as the library declares it)

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self.timer.cancel()
        self.timer = _SweepTimer(self._MemoryStorage__expire_events)  # type: ignore[attr-defined, assignment]


class RedisWithFallback(Storage):
    """Counts in Redis while it answers, else in this worker's memory.

    A Redis that is away delays one request in five seconds, by a quarter of a second at most.
    """

    STORAGE_SCHEME = [f"{_SHARED_PREFIX}redis", f"{_SHARED_PREFIX}rediss"]  # noqa: RUF012 (as the library declares it)

    def __init__(self, uri: str, wrap_exceptions: bool = False, **options: float | str | bool) -> None:
        from redis.backoff import NoBackoff  # in a worker without Redis these would only take memory
        from redis.retry import Retry

        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        given = {"socket_timeout": _ANSWER_SECONDS, "socket_connect_timeout": _ANSWER_SECONDS, **options}
        # The client's own retries would hold a request longer than _ANSWER_SECONDS.
        once = Retry(NoBackoff(), 0)
        self._redis = RedisStorage(uri.removeprefix(_SHARED_PREFIX), retry=once, **given)  # type: ignore[arg-type]
        self._memory = ThreadlessMemoryStorage()
        self._retry_at = 0.0

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """None: failures of Redis are handled here."""
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts, and returns the count."""
        return self._call(lambda counts: counts.incr(key, expiry, amount))

    def get(self, key: str) -> int:
        """The count."""
        return self._call(lambda counts: counts.get(key))

    def get_expiry(self, key: str) -> float:
        """When the window of the count ends, in seconds since 1970."""
        return self._call(lambda counts: counts.get_expiry(key))

    def check(self) -> bool:
        """Whether there is somewhere to count, which there always is."""
        return True

    def reset(self) -> int | None:
        """Forgets every count."""
        self._memory.reset()
        return self._call(lambda counts: counts.reset())

    def clear(self, key: str) -> None:
        """Forgets one count."""
        self._call(lambda counts: counts.clear(key))

    def _call(self, what: Callable[[RedisStorage | ThreadlessMemoryStorage], T]) -> T:
        if monotonic() >= self._retry_at:
            try:
                return what(self._redis)
            except self._redis.base_exceptions as error:
                self._retry_at = monotonic() + _AWAY_SECONDS
                get_log("limits").warning("Redis does not answer: requests are counted for each worker", why=str(error))
        return what(self._memory)
