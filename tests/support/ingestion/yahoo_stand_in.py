"""A local HTTP server that answers as Yahoo's chart endpoint does, for the real yfinance client."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from core.jobs.calendars import exchange

CHART = "/v8/finance/chart/"


@dataclass(frozen=True)
class Bar:
    """A day's raw bar: what was paid on the day, and what became of a share in the morning."""

    day: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    dividend: float = 0.0
    split: float = 1.0

    @property
    def fields(self) -> dict[str, float]:
        """The fields under which it should be stored."""
        names = ("open", "high", "low", "close", "volume", "dividend", "split")
        return {name: getattr(self, name) for name in names}


@dataclass
class YahooStandIn:
    """What the stand-in knows and how it behaves; tests change it between fetches.

    `fault`: "" or one of "429", "500", "garbage", "maintenance", "empty", "unknown", "redirect",
    "hang" (of the chart), "hang all".
    `heal_after`: the fault ends after this many chart requests.
    """

    url: str = ""
    bars: list[Bar] = field(default_factory=list)
    zone: str = "America/New_York"
    fault: str = ""
    heal_after: int | None = None
    live: Bar | None = None
    unapplied_splits: bool = False
    unlisted_splits: bool = False
    requests: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    @property
    def chart_requests(self) -> list[str]:
        """The questions for prices, in order."""
        return [request for request in self.requests if request.startswith(CHART)]

    def since(self, index: int = -1) -> date:
        """From which date a question for prices asked."""
        query = parse_qs(urlsplit(self.chart_requests[index]).query)
        return datetime.fromtimestamp(int(query["period1"][0]), ZoneInfo(self.zone)).date()

    def answer(self, path: str) -> tuple[int, str]:
        """Status and body for a request."""
        self.requests.append(path)
        if self.fault == "hang all":
            self.release.wait(30)
        parts = urlsplit(path)
        if parts.path == "/v1/test/getcrumb":
            return (429, "Too Many Requests") if self.fault == "429" else (200, "crumb")
        if not parts.path.startswith(CHART):
            return 404, "<html>nothing here</html>"
        fault = self.fault
        if self.heal_after is not None:
            self.heal_after -= 1
            fault = "" if self.heal_after < 0 else fault
        match fault:
            case "429":
                return 429, "Too Many Requests"
            case "500":
                return 500, "<html>Internal Server Error</html>"
            case "garbage":
                return 200, "<html>Log in to the hotel's network</html>"
            case "maintenance":
                return 200, "Will be right back..."
            case "unknown":
                return 404, _error("Not Found", "No data found, symbol may be delisted")
            case "redirect":
                return 302, "https://finance.yahoo.com/elsewhere"
            case "hang":
                self.release.wait(30)
                return 200, ""
        query = parse_qs(parts.query)
        first, last = (datetime.fromtimestamp(int(query[name][0]), ZoneInfo("UTC")) for name in ("period1", "period2"))
        shown = [bar for bar in self.bars if first <= self._stamp(bar.day) < last]
        return 200, json.dumps(self._chart(parts.path.removeprefix(CHART), [] if fault == "empty" else shown))

    def _stamp(self, day: date) -> datetime:
        return datetime.combine(day, time(9, 30), ZoneInfo(self.zone))

    def _chart(self, symbol: str, bars: list[Bar]) -> dict[str, Any]:
        meta = {
            "currency": "USD",
            "symbol": symbol,
            "exchangeName": "PCX",
            "instrumentType": "ETF",
            "firstTradeDate": 728317800,
            "regularMarketTime": int(self._stamp(bars[-1].day).timestamp()) if bars else 0,
            "gmtoffset": -18000,
            "timezone": "EST",
            "exchangeTimezoneName": self.zone,
            "regularMarketPrice": 1.0,
            "priceHint": 2,
            "dataGranularity": "1d",
            "range": "",
            "validRanges": ["1d", "5d", "1mo", "max"],
        }
        if not bars:
            return _result({"meta": meta, "indicators": {"quote": [{}], "adjclose": [{}]}})
        stamps = [int(self._stamp(bar.day).timestamp()) for bar in bars]
        columns = {name: [_adjusted(bars, bar, name, self.unapplied_splits) for bar in bars] for name in _PRICES}
        columns["volume"] = [_adjusted(bars, bar, "volume", self.unapplied_splits) for bar in bars]
        if self.live:
            stamps.append(int(datetime.combine(self.live.day, time(15, 59, 58), ZoneInfo(self.zone)).timestamp()))
            for name in columns:
                columns[name].append(getattr(self.live, name))
        events: dict[str, dict[str, dict[str, Any]]] = {}
        for bar in bars:
            stamp = int(self._stamp(bar.day).timestamp())
            if bar.dividend:
                amount = _adjusted(bars, bar, "dividend", self.unapplied_splits)
                events.setdefault("dividends", {})[str(stamp)] = {"amount": amount, "date": stamp}
            if bar.split != 1 and not self.unlisted_splits:
                events.setdefault("splits", {})[str(stamp)] = {
                    "date": stamp,
                    "numerator": bar.split,
                    "denominator": 1.0,
                    "splitRatio": f"{bar.split:g}:1",
                }
        answer = {
            "meta": meta,
            "timestamp": stamps,
            "indicators": {"quote": [columns], "adjclose": [{"adjclose": _less_dividends(bars, columns["close"])}]},
        }
        return _result(answer | ({"events": events} if events else {}))


_PRICES = ("open", "high", "low", "close")


def _adjusted(bars: list[Bar], bar: Bar, name: str, unapplied: bool) -> float | None:
    """As Yahoo shows it: divided by every later split, volumes multiplied."""
    value: float | None = getattr(bar, name)
    if value is None or unapplied:
        return value
    for later in bars:
        if later.day > bar.day:
            value = value * later.split if name == "volume" else value / later.split
    return value


def _less_dividends(bars: list[Bar], closes: list[float | None]) -> list[float | None]:
    """The closes lowered, as Yahoo's adjusted close is, by the share of each later dividend."""
    lowered, factor = [], 1.0
    for bar, close in zip(reversed(bars), reversed(closes[: len(bars)]), strict=True):
        lowered.append(None if close is None else close * factor)
        factor *= 1 - bar.dividend / (bar.close or 100.0)
    return lowered[::-1] + closes[len(bars) :]


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    return {"chart": {"result": [answer], "error": None}}


def _error(code: str, description: str) -> str:
    return json.dumps({"chart": {"result": None, "error": {"code": code, "description": description}}})


@contextmanager
def yahoo_stand_in() -> Iterator[YahooStandIn]:
    """Runs the stand-in on a free port of loopback."""
    stand_in = YahooStandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = stand_in.answer(self.path)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that gave up is no error of ours."""

    server = Server(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


def sessions(first: date, last: date) -> list[date]:
    """The sessions of the New York exchange from `first` to `last`."""
    return [stamp.date() for stamp in exchange("XNYS", first).sessions_in_range(str(first), str(last))]


def walk(first: date, last: date, start: float = 400.0) -> list[Bar]:
    """Bars on every session: prices that wander a little, in binary fractions, so that halving them is exact."""
    bars, price = [], start
    for index, day in enumerate(sessions(first, last)):
        step = ((index * 7919) % 33 - 16) / 8
        opened, price = price, price + step
        bars.append(
            Bar(
                day, opened, max(opened, price) + 0.5, min(opened, price) - 0.25, price, 1_000_000 + 1024 * (index % 97)
            )
        )
    return bars
