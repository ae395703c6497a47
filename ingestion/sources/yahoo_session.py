"""The HTTP session that the Yahoo client is given: bounded in time, and confined to a mirror where one is set."""

import socket
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import RequestException, Timeout

from ingestion.sources.base import NoNetworkError

CHART_HOST = "https://query2.finance.yahoo.com"
_CHART_PATH = "/v8/finance/chart/"


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to try.

    `courtesy` is for the requests for a cookie and a crumb, which the client makes first and can do without.
    """

    connect: float = 3.0
    courtesy: float = 2.5
    chart: float = 10.0
    total: float = 20.0
    attempts: int = 3


class BoundedSession(Session[Response]):
    """A session for yfinance, whose own waits for a cookie and a crumb add up to two minutes.

    With a mirror, every request goes there, whatever host the client names, and no redirect leads away from it.
    `chart_status` is the status of the last answer to a question for prices (0: none yet).
    """

    def __init__(self, mirror: str, patience: Patience) -> None:
        super().__init__(impersonate="chrome")
        self.chart_status = 0
        self._mirror = mirror.rstrip("/")
        self._patience = patience
        self._deadline = time.monotonic() + patience.total
        self._courtesy_failed = False

    def request(self, method: Any, url: str, *positional: Any, **options: Any) -> Response:
        """As the base's, within what is left of the time. Raises a curl_cffi RequestException."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Timeout("The time for this fetch is used up.")
        parts = urlsplit(url)
        is_chart = parts.path.startswith(_CHART_PATH)
        if not is_chart and self._courtesy_failed:
            raise RequestException("Another request of this kind failed a moment ago.")
        wait = min(self._patience.chart if is_chart else self._patience.courtesy, left)
        connect = min(self._patience.connect, wait / 2)
        options["timeout"] = (connect, wait - connect)
        if self._mirror:
            url = self._mirror + parts.path + (f"?{parts.query}" if parts.query else "")
            # A redirect would lead away from the mirror.
            options["allow_redirects"] = False
        try:
            response = super().request(method, url, *positional, **options)
        except RequestException:
            self._courtesy_failed |= not is_chart
            raise
        if is_chart:
            self.chart_status = response.status_code
        return response


def require_network(url: str, patience: Patience) -> None:
    """Raises NoNetworkError at once when no connection to `url`'s host is possible.

    It spares a machine without a network the client's own round of attempts. The name is looked up in a thread, for
    a broken name service blocks beyond any timeout. Behind a proxy nothing is concluded: only the proxy knows.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    # Nothing is concluded behind a proxy: only the proxy knows whether the host can be reached.
    if parts.scheme in getproxies():
        return
    failures: list[str] = [f"{host} did not answer within {patience.connect:g} s"]

    def knock() -> None:
        try:
            socket.create_connection((host, port), timeout=patience.connect).close()
            failures.clear()
        except OSError as error:
            failures[:] = [f"{host}: {error.strerror or error}"]

    # In a thread: a broken name service blocks beyond any timeout.
    thread = threading.Thread(target=knock, name="require-network", daemon=True)
    thread.start()
    thread.join(patience.connect)
    if reasons := list(failures):
        raise NoNetworkError(f"Yahoo cannot be reached ({reasons[0]}).", "Check the network, then run this again.")
