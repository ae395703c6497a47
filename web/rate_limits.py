"""How many requests one sender may make: counted per token, or per address where none is sent.

The counts stand in the memory of each worker process and begin anew with it, so that a service of N workers lets up to
N times the rate through; or in a Redis, where all workers of all replicas count together. What only reads is not
counted, so that neither a probe nor a scrape is ever turned away.
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
from web.auth import Access
from web.problems import Kind, RefusedError, documented, refusal_response

TOO_MANY = Kind(429, "too_many_requests", "Too many requests")
RESPONSES: dict[str | int, Any] = {
    "429": documented("More requests than one sender may make (`too_many_requests`); see Retry-After.")
}
"""What a route that is limited answers besides its own."""
_SCOPE = "global"  # as the library calls what all routes of an app share
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_MEMORY_SCHEME, _SHARED_PREFIX = "swept-memory", "shared+"  # by these URIs the library finds the two storages below
_SWEEP_SECONDS = 30.0
_ANSWER_SECONDS = 0.25
_AWAY_SECONDS = 5.0
T = TypeVar("T")


class Limits:
    """One rate, such as "100/minute", for an app's routes and for what is answered ahead of Flask alike.

    `storage` is the redis://… to count in; empty: this worker's memory. Install `web.roles` first: it knows the routes
    that need a role, which are counted even when they are a GET.
    """

    def __init__(self, app: Flask, rate: str, access: Access, storage: str = "") -> None:
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
        """Counts a request that Flask does not see: 0 when it may go on, else the whole seconds to wait."""
        if self._limiter.limiter.hit(self._item, identity, _SCOPE, cost=cost):
            return 0
        reset_at, _ = self._limiter.limiter.get_window_stats(self._item, identity, _SCOPE)
        return _seconds_until(reset_at)

    def check(self, identity: str, cost: int = 1) -> None:
        """The same, raising a RefusedError (429)."""
        seconds = self.allowed(identity, cost)
        if seconds:
            raise too_many(seconds)


def too_many(seconds: int) -> RefusedError:
    """The refusal of a request that may be made again in so many seconds."""
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


class _Sweep:
    """Stands for the library's timer, and says that it runs: so none is started."""

    def __init__(self, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._due = monotonic() + _SWEEP_SECONDS

    def is_alive(self) -> bool:
        """Asked at each count: the moment to drop those that have expired, once in a while."""
        now = monotonic()
        if now >= self._due:
            self._due = now + _SWEEP_SECONDS
            self._expire()
        return True


class SweptMemory(MemoryStorage):
    """MemoryStorage without its threads.

    Under load that one starts a thread every 10 ms to drop what has expired, and the request that does so waits until
    the thread runs: of a request that learns a row it was more than half the cost.
    """

    STORAGE_SCHEME = [_MEMORY_SCHEME]  # noqa: RUF012 (as the library declares it)

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self.timer.cancel()
        self.timer = _Sweep(self._MemoryStorage__expire_events)  # type: ignore[attr-defined, assignment]


class SharedCounts(Storage):
    """Counts in Redis while it answers, and in this worker's memory while it does not.

    A limit must not stop what it limits: a Redis that is away costs a request a quarter of a second at most, and only
    one request in five seconds.
    """

    STORAGE_SCHEME = [f"{_SHARED_PREFIX}redis", f"{_SHARED_PREFIX}rediss"]  # noqa: RUF012 (as the library declares it)

    def __init__(self, uri: str, wrap_exceptions: bool = False, **options: float | str | bool) -> None:
        from redis.backoff import NoBackoff  # in a worker without Redis these would only take memory
        from redis.retry import Retry

        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        given = {"socket_timeout": _ANSWER_SECONDS, "socket_connect_timeout": _ANSWER_SECONDS, **options}
        once = Retry(NoBackoff(), 0)
        self._together = RedisStorage(uri.removeprefix(_SHARED_PREFIX), retry=once, **given)  # type: ignore[arg-type]
        self._alone = SweptMemory()
        self._asked_again_at = 0.0

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """What this storage raises: nothing of its own."""
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts, and returns the count."""
        return self._ask(lambda counts: counts.incr(key, expiry, amount))

    def get(self, key: str) -> int:
        """The count."""
        return self._ask(lambda counts: counts.get(key))

    def get_expiry(self, key: str) -> float:
        """When the count begins anew, in seconds since 1970."""
        return self._ask(lambda counts: counts.get_expiry(key))

    def check(self) -> bool:
        """Whether there is somewhere to count, which there always is."""
        return True

    def reset(self) -> int | None:
        """Forgets every count."""
        self._alone.reset()
        return self._ask(lambda counts: counts.reset())

    def clear(self, key: str) -> None:
        """Forgets one count."""
        self._ask(lambda counts: counts.clear(key))

    def _ask(self, what: Callable[[RedisStorage | SweptMemory], T]) -> T:
        if monotonic() >= self._asked_again_at:
            try:
                return what(self._together)
            except self._together.base_exceptions as error:
                self._asked_again_at = monotonic() + _AWAY_SECONDS
                get_log("limits").warning("Redis does not answer: requests are counted for each worker", why=str(error))
        return what(self._alone)
