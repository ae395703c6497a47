"""Series from a CSV or Parquet file, local or by URL, in columns as people write them or as yfinance does."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date, datetime
from functools import cached_property
from io import BytesIO
from math import nan
from pathlib import Path
from typing import Any

import polars as pl
import requests

from core.config.settings import Settings
from core.config.tasks import Task, digest
from core.errors import ConfigurationError, DataRefusedError, SourceUnreachableError
from ingestion.sources.base import SESSION_FIELDS, RawRow

_TIMEOUT_SECONDS = (5, 30)
_ALSO_CALLED = {"dividend": ("dividends",), "split": ("splits", "stock splits", "stock_splits")}
_UNLESS_GIVEN = {"dividend": 0.0, "split": 1.0}


class _File(ABC):
    """A file of values. A session's has open, high, low, close, volume, and dividend and split where there are any.

    Prices must be raw: as they were paid on the day, neither divided for later splits nor lowered for dividends.
    A relative path counts from the folder of the task files.
    """

    name: str

    def __init__(self, settings: Settings, task: Task) -> None:
        self.series = task.series
        self._task = task
        self._location = str(task.source_options.location)
        self._tasks = settings.tasks

    def fingerprint(self) -> str:
        """A hash of the file and of how it is read."""
        content = hashlib.sha256(self._content).hexdigest()[:16]
        return f"{content}, read by {digest(self._task.source_options.model_dump(mode='json'))}"

    def fetch(self, since: date | None) -> list[RawRow]:  # noqa: ARG002 (all of it is at hand)
        """All rows, whatever is stored. Raises DataRefusedError when it is no such file or lacks columns."""
        options = self._task.source_options
        try:
            frame = self._frame(BytesIO(self._content))
        except pl.exceptions.PolarsError as error:
            reason = str(error).partition("\n")[0].rstrip(".")  # further lines are advice to programmers of polars
            raise DataRefusedError(
                f"{self._location} is not a {self.name} file that can be read: {reason}.",
                "Correct the file, or `source` in the task file.",
            ) from None
        table = _Table(frame, self._location)
        stamps = [_stamp(value) for value in table.column(options.date_column, "date")]
        if self._task.frequency == "month":
            values = {"value": table.numbers(options.value_column)}
        else:
            values = {name: table.numbers(name) for name in SESSION_FIELDS}
            values["split"] = [1.0 if split == 0 else split for split in values["split"]]  # yfinance's "no split"
        return [
            RawRow(stamp, {name: column[index] for name, column in values.items()})
            for index, stamp in enumerate(stamps)
        ]

    @abstractmethod
    def _frame(self, content: BytesIO) -> pl.DataFrame:
        """The file as a frame. Raises PolarsError when it is none."""

    @cached_property
    def _content(self) -> bytes:
        if "://" in self._location:
            return _download(self._location)
        path = self._tasks / Path(self._location).expanduser()
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read: {error.strerror}.", "Correct source_options.location in the task file."
            ) from None


class CsvFile(_File):
    """Comma-separated values with a header row."""

    name = "csv"

    def _frame(self, content: BytesIO) -> pl.DataFrame:
        if b"\0" in content.getbuffer().tobytes():
            raise pl.exceptions.ComputeError("it is not text, for it holds bytes of zero")
        return _without_yfinance_head(pl.read_csv(content, infer_schema=False))


class ParquetFile(_File):
    """A Parquet file."""

    name = "parquet"

    def _frame(self, content: BytesIO) -> pl.DataFrame:
        return pl.read_parquet(content)


class _Table:
    """A frame whose columns are found whatever their case."""

    def __init__(self, frame: pl.DataFrame, location: str) -> None:
        self._frame = frame
        self._location = location

    @cached_property
    def _names(self) -> dict[str, str]:
        return {name.strip().lower(): name for name in self._frame.columns}

    def column(self, *names: str) -> list[Any]:
        """The values of the first of these columns that there is."""
        found = next((self._names[name.lower()] for name in names if name.lower() in self._names), None)
        if found is None:
            raise DataRefusedError(
                f"{self._location} has no column {names[0]!r}; it has {', '.join(self._frame.columns)}.",
                "Name the columns in source_options, or rename them in the file.",
            )
        return self._frame.get_column(found).to_list()

    def numbers(self, name: str) -> list[float]:
        """A column as numbers, NaN where there is none; or its usual value where the file has no such column."""
        names = (name, *_ALSO_CALLED.get(name, ()))
        if name in _UNLESS_GIVEN and not any(known in self._names for known in names):
            return [_UNLESS_GIVEN[name]] * self._frame.height
        return [_number(value) for value in self.column(*names)]


def _download(url: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        import fsspec

        try:
            with fsspec.open(url, "rb") as file:
                return bytes(file.read())
        except (ImportError, ValueError, FileNotFoundError) as error:
            raise ConfigurationError(f"{url} cannot be read: {error}.", "Correct source_options.location.") from None
        except OSError as error:
            raise SourceUnreachableError(f"{url} did not answer: {error}.", "Try again later.") from None
    try:
        answer = requests.get(url, timeout=_TIMEOUT_SECONDS)
    except requests.RequestException as error:
        raise SourceUnreachableError(f"{url} did not answer: {error}.", "Try again later.") from None
    if answer.status_code in (404, 410):
        raise ConfigurationError(
            f"There is nothing at {url} ({answer.status_code}).", "Correct source_options.location."
        )
    if answer.status_code != 200:
        raise SourceUnreachableError(f"{url} answered {answer.status_code}.", "Try again later.")
    return answer.content


def _without_yfinance_head(frame: pl.DataFrame) -> pl.DataFrame:
    """Undoes the three header rows (Price, Ticker, Date) of what `yfinance.download(...).to_csv()` writes."""
    if frame.width == 0 or frame.height < 2 or frame.columns[0] != "Price":
        return frame
    first = frame.get_column("Price").head(2).to_list()
    if first != ["Ticker", "Date"]:
        return frame
    tickers: Sequence[str | None] = frame.row(0)[1:]
    if len(set(tickers)) > 1:
        raise DataRefusedError(
            f"The file holds several tickers: {', '.join(sorted({str(ticker) for ticker in tickers}))}.",
            "Write a file with one ticker for each series.",
        )
    return frame.slice(2).rename({"Price": "Date"})


def _stamp(value: object) -> date | datetime | None:
    """A date or an instant from a cell, or None when it is neither. `2024-05` is the first of its month.

    >>> _stamp("2024-05-03"), _stamp("2024-05"), _stamp("soon")
    (datetime.date(2024, 5, 3), datetime.date(2024, 5, 1), None)
    """
    if isinstance(value, date):  # a datetime is one, too
        return value
    text = str(value or "").strip()
    try:
        if len(text) == len("2024-05"):
            return date.fromisoformat(f"{text}-01")
        return date.fromisoformat(text) if len(text) <= len("2024-05-03") else datetime.fromisoformat(text)
    except ValueError:
        return None


def _number(value: Any) -> float:
    """A number from a cell, NaN when it is none.

    >>> _number(" 3.5 "), _number(7), _number("n/a")
    (3.5, 7.0, nan)
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        return nan
