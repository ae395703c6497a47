"""The counts of rate limits in a worker's memory: the library's own, swept by whoever comes by and not by threads."""

from collections.abc import Callable
from time import monotonic

from limits.storage import MemoryStorage

SCHEME = "swept-memory"
"""How flask-limiter is told to use it: `storage_uri=f"{SCHEME}://"`."""
_SWEEP_SECONDS = 30.0


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

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012 (as the library declares it)

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self.timer.cancel()
        self.timer = _Sweep(self._MemoryStorage__expire_events)  # type: ignore[attr-defined, assignment]
