"""Daily bars from Yahoo by the real yfinance client: raw prices, dividends and splits."""

import logging
import shutil
import sqlite3
import warnings
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast
from zoneinfo import ZoneInfo

import tenacity

from core.config.settings import Settings
from core.config.tasks import Task
from core.errors import ConfigurationError, DataRefusedError, SourceUnreachableError
from core.jobs.calendars import timezone
from ingestion.sources import split_adjustment
from ingestion.sources.base import RateLimitedError, RawRow
from ingestion.sources.yahoo_session import CHART_HOST, BoundedSession, Patience, require_network

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = {
    "open": "Open",
    "high": "High",
    "low": "Low",
    "close": "Close",
    "volume": "Volume",
    "dividend": "Dividends",
    "split": "Stock Splits",
}
_GARBAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What yfinance raises in the middle of its parsing when an answer is not what it expects."""


class _PassingError(SourceUnreachableError):
    """A fault that may be gone a moment later: worth another attempt in the same run."""


class Yahoo:
    """Yahoo's chart endpoint. One fetch is one request for prices, and a few small ones for a cookie and a crumb."""

    name = "yahoo"

    def __init__(self, settings: Settings, task: Task, patience: Patience | None = None) -> None:
        if task.frequency != "session":
            raise ConfigurationError(
                f"Task {task.name} asks Yahoo for one value a {task.frequency}; only daily bars are read.",
                "Write `frequency: session` and a calendar, or another source.",
            )
        self.series = task.series
        self._task = task
        self._symbol = task.source_options.symbol or task.series
        self._mirror = settings.yahoo_url
        self._cache = settings.cache / "yfinance"
        self._patience = patience or Patience()

    def fingerprint(self) -> str:
        """Empty: only a request can tell what Yahoo has."""
        return ""

    def fetch(self, since: date | None) -> list[RawRow]:
        """Raw bars from `since` (None: the task's start) to Yahoo's present, whose last may not be final.

        The end is always Yahoo's present: prices are sent adjusted for every split until then, and those splits are
        needed to undo that. Raises SourceUnreachableError, or DataRefusedError for an empty answer.
        """
        require_network(self._mirror or CHART_HOST, self._patience)
        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._patience.attempts)
            | tenacity.stop_after_delay(self._patience.total / 2),
            wait=tenacity.wait_exponential_jitter(multiplier=0.3, max=3),
            retry=tenacity.retry_if_exception_type(_PassingError),
            reraise=True,
        )
        with closing(BoundedSession(self._mirror, self._patience)) as session:
            return split_adjustment.undo(_rows(attempts(self._ask, since or self._task.start, session)))

    def _ask(self, since: date, session: BoundedSession) -> "pd.DataFrame":
        """One attempt with the real client; its errors are classified by the status of Yahoo's answer."""
        import yfinance as yf
        from yfinance.exceptions import YFException, YFPricesMissingError, YFRateLimitError

        # The client logs each failure as well; here it becomes an error, or another attempt.
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)
        _keep_cache_in(self._cache)
        # Otherwise the client swallows errors, and an outage looks like an empty answer.
        yf.config.debug.hide_exceptions = False
        try:
            ticker = yf.Ticker(self._symbol, session=session)
            ticker._tz = timezone(self._task).key  # else it asks for the time zone in a request of its own
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the client's own use of pandas
                # keepna: without it, bars of nulls vanish without a trace
                frame: pd.DataFrame = ticker.history(
                    start=since, auto_adjust=False, keepna=True, timeout=self._patience.chart
                )
        except YFRateLimitError:
            raise RateLimitedError("Yahoo refuses more requests for now (429).", "A later run tries again.") from None
        except YFPricesMissingError as error:
            reason = f" ({error.yahoo_reason.rstrip('.')})" if error.yahoo_reason else ""
            if session.chart_status in (401, 403) or session.chart_status >= 500:
                _fail(session, f"no bars{reason}")
            raise DataRefusedError(
                f"Yahoo sent no bars of {self._symbol} since {since}{reason}.",
                "That is not taken to mean that there are none; check the symbol, or try again tomorrow.",
            ) from None
        except OSError as error:  # every failure of the transport, which curl_cffi derives from OSError
            if isinstance(error, ValueError):
                _fail(session, "what came is not JSON")
            before = f" (after a {session.chart_status})" if session.chart_status >= 400 else ""
            raise SourceUnreachableError(
                f"Yahoo did not answer{before}: {_first_line(error)}.", "Try again later."
            ) from None
        except (YFException, *_GARBAGE) as error:
            _fail(session, f"{type(error).__name__}: {_first_line(error)}")
        if frame.empty:
            raise DataRefusedError(
                f"Yahoo sent an empty frame for {self._symbol}.",
                "That is not taken to mean that there are no bars; try again tomorrow.",
            )
        _require_zone(self._task, self._symbol, str(cast("pd.DatetimeIndex", frame.index).tz))
        return frame


def _rows(frame: "pd.DataFrame") -> list[RawRow]:
    """The frame's bars, each on the date that the exchange's own clock showed at its timestamp."""
    values = {name: frame[column].astype("float64").tolist() for name, column in _COLUMNS.items()}
    values["split"] = [split or 1.0 for split in values["split"]]
    return [
        RawRow(stamp.date(), {name: values[name][index] for name in values}) for index, stamp in enumerate(frame.index)
    ]


def _require_zone(task: Task, symbol: str, zone: str) -> None:
    """Refuses bars that Yahoo dates by another clock than that of the task's exchange (aliases of one are equal)."""
    expected = timezone(task)
    for month in (1, 7):
        noon = datetime(2024, month, 1, 12, tzinfo=UTC)
        if noon.astimezone(ZoneInfo(zone)).utcoffset() != noon.astimezone(expected).utcoffset():
            raise DataRefusedError(
                f"Yahoo dates {symbol} by the clock of {zone}, the calendar {task.calendar} by that of {expected.key}.",
                "Name the calendar of the exchange where the symbol is listed.",
            )


def _fail(session: BoundedSession, what: str) -> NoReturn:
    answer = f"{session.chart_status}, {what}" if session.chart_status >= 400 else what
    raise _PassingError(f"Yahoo answered with what cannot be used ({answer}).", "Try again later.") from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].removeprefix("Failed to perform, ").split(". See https://", 1)[0].rstrip(".")


def _keep_cache_in(folder: Path) -> None:
    """Has yfinance keep its cookies in our folder; a cache that another process left broken is thrown away."""
    import yfinance as yf

    for database in folder.glob("*.db"):
        try:
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA quick_check").fetchone()
        except sqlite3.OperationalError:  # in use by another process, so not broken
            continue
        except sqlite3.DatabaseError:
            shutil.rmtree(folder, ignore_errors=True)
            break
    folder.mkdir(parents=True, exist_ok=True)
    yf.set_tz_cache_location(str(folder))
