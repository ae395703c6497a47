"""How many requests one sender may make: counted per token, or per address where none is sent.

The counts stand in the memory of each worker process and begin anew with it, so that a service of N workers lets up to
N times the rate through; or in a Redis, where all workers of all replicas count together. What only reads is not
counted, so that neither a probe nor a scrape is ever turned away.
"""

import math
import time
from typing import Any

from flask import Flask, Response, g, request
from flask_limiter import Limiter, RateLimitExceeded, RequestLimit
from limits import RateLimitItem, parse

from web import limit_counts, refusals, shared_counts
from web.auth import Access
from web.problems import Kind, documented
from web.refusals import RefusedError

TOO_MANY = Kind(429, "too_many_requests", "Too many requests")
RESPONSES: dict[str | int, Any] = {
    "429": documented("More requests than one sender may make (`too_many_requests`); see Retry-After.")
}
"""What a route that is limited answers besides its own."""
_SCOPE = "global"  # as the library calls what all routes of an app share
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


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
            storage_uri=f"{shared_counts.PREFIX}{storage}" if storage else f"{limit_counts.SCHEME}://",
            strategy="fixed-window",
            on_breach=_breached,
        )
        self._limiter.request_filter(lambda: request.method in _READING and "principal" not in g)
        self._limiter.init_app(app)
        refusals.install(app)
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
    return refusals.answer(too_many(_seconds_until(limit.window[0])))


def _seconds_until(reset_at: float) -> int:
    return max(1, math.ceil(reset_at - time.time()))
