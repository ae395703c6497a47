"""The counts of rate limits in Redis, where all workers of all replicas count together."""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from limits.storage import RedisStorage, Storage

from core.logs import get_log
from web.limit_counts import SweptMemory

PREFIX = "shared+"
"""How flask-limiter is told to use it: `storage_uri=f"{PREFIX}redis://…"`."""
_ANSWER_SECONDS = 0.25
_AWAY_SECONDS = 5.0

T = TypeVar("T")


class SharedCounts(Storage):
    """Counts in Redis while it answers, and in this worker's memory while it does not.

    A limit must not stop what it limits: a Redis that is away costs a request a quarter of a second at most, and only
    one request in five seconds.
    """

    STORAGE_SCHEME = [f"{PREFIX}redis", f"{PREFIX}rediss"]  # noqa: RUF012 (as the library declares it)

    def __init__(self, uri: str, wrap_exceptions: bool = False, **options: float | str | bool) -> None:
        from redis.backoff import NoBackoff  # in a worker without Redis these would only take memory
        from redis.retry import Retry

        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        given = {"socket_timeout": _ANSWER_SECONDS, "socket_connect_timeout": _ANSWER_SECONDS, **options}
        once = Retry(NoBackoff(), 0)
        self._together = RedisStorage(uri.removeprefix(PREFIX), retry=once, **given)  # type: ignore[arg-type]
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
