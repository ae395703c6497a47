"""The counts of rate limits: the library's own without its threads, and those in Redis that all workers share."""

import threading

import fakeredis
import pytest
import redis
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from web import rate_limits
from web.rate_limits import _MEMORY_SCHEME, _SHARED_PREFIX, RedisWithFallback, ThreadlessMemoryStorage

ITEM = parse("3/hour")


def test_it_counts_as_the_library_does_and_starts_no_thread() -> None:
    storage = storage_from_string(f"{_MEMORY_SCHEME}://")
    assert isinstance(storage, ThreadlessMemoryStorage)
    limiter, item = FixedWindowRateLimiter(storage), parse("3/minute")
    storage.timer.is_alive()
    before = set(threading.enumerate())

    assert [limiter.hit(item, "somebody") for _ in range(5)] == [True] * 3 + [False] * 2
    assert limiter.hit(item, "another")
    assert set(threading.enumerate()) <= before


def test_what_has_expired_is_dropped_when_somebody_comes_by(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr(rate_limits, "monotonic", lambda: now[0])
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: now[0])
    storage = ThreadlessMemoryStorage()
    for sender in range(5):
        storage.incr(f"sender-{sender}", 10)
    assert len(storage.storage) == 5

    now[0] += 60
    storage.incr("another", 10)

    assert list(storage.storage) == ["another"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> fakeredis.FakeServer:
    """A Redis in this process, which is away while `connected` is false."""
    server = fakeredis.FakeServer()
    monkeypatch.setattr(redis, "from_url", lambda uri, **options: fakeredis.FakeRedis(server=server))
    return server


def worker() -> FixedWindowRateLimiter:
    """What one worker process counts with."""
    storage = storage_from_string(f"{_SHARED_PREFIX}redis://:password@redis:6379/0")
    assert isinstance(storage, RedisWithFallback)
    return FixedWindowRateLimiter(storage)


def test_two_workers_count_together(server: fakeredis.FakeServer) -> None:
    first, second = worker(), worker()

    taken = [limiter.hit(ITEM, "somebody") for limiter in (first, second, first, second, first)]

    assert taken == [True] * 3 + [False] * 2
    assert second.hit(ITEM, "another")
    assert second.get_window_stats(ITEM, "somebody").remaining == 0


def test_while_redis_is_away_each_worker_counts_for_itself(
    server: fakeredis.FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(rate_limits, "monotonic", lambda: now[0])
    server.connected = False
    first, second = worker(), worker()

    assert [first.hit(ITEM, "somebody") for _ in range(4)] == [True] * 3 + [False]
    assert second.hit(ITEM, "somebody")

    server.connected = True
    assert not first.hit(ITEM, "somebody"), "it is not asked at once"
    now[0] += 6
    assert [first.hit(ITEM, "somebody"), second.hit(ITEM, "somebody")] == [True, True]
    assert second.get_window_stats(ITEM, "somebody").remaining == 1


def test_a_redis_that_does_not_answer_is_given_a_quarter_of_a_second_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def remember(uri: str, **options: object) -> fakeredis.FakeRedis:
        asked.update(options, uri=uri)
        return fakeredis.FakeRedis()

    monkeypatch.setattr(redis, "from_url", remember)
    worker()

    assert asked["uri"] == "redis://:password@redis:6379/0"
    assert (asked["socket_timeout"], asked["socket_connect_timeout"]) == (0.25, 0.25)
    assert asked["retry"].get_retries() == 0  # type: ignore[attr-defined]


def test_what_is_counted_can_be_forgotten(server: fakeredis.FakeServer) -> None:
    limiter = worker()
    assert limiter.hit(ITEM, "somebody", cost=3)

    limiter.clear(ITEM, "somebody")
    assert limiter.hit(ITEM, "somebody", cost=3)
    limiter.storage.reset()
    assert limiter.hit(ITEM, "somebody", cost=3)
    assert limiter.storage.check()
