"""The counts behind the rate limits: the library's, without a thread of their own."""

import threading

import pytest
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from web import limit_counts
from web.limit_counts import SCHEME, SweptMemory


def test_it_counts_as_the_library_does_and_starts_no_thread() -> None:
    storage = storage_from_string(f"{SCHEME}://")
    assert isinstance(storage, SweptMemory)
    limiter, item = FixedWindowRateLimiter(storage), parse("3/minute")
    storage.timer.is_alive()
    before = set(threading.enumerate())

    assert [limiter.hit(item, "somebody") for _ in range(5)] == [True] * 3 + [False] * 2
    assert limiter.hit(item, "another")
    assert set(threading.enumerate()) <= before


def test_what_has_expired_is_dropped_when_somebody_comes_by(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr(limit_counts, "monotonic", lambda: now[0])
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: now[0])
    storage = SweptMemory()
    for sender in range(5):
        storage.incr(f"sender-{sender}", 10)
    assert len(storage.storage) == 5

    now[0] += 60
    storage.incr("another", 10)

    assert list(storage.storage) == ["another"]
