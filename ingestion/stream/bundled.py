"""The series that can be streamed before anything was ingested: River's airline passengers and phishing pages.

Their files are read where River keeps them: importing River takes seconds and 120 MB, which this needs nothing of.
"""

import csv
import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from core.errors import ConfigurationError
from ingestion.stream.series import Item, Streamed


@cache
def airline() -> Streamed:
    """144 months, and the thousands of passengers in each: `river.datasets.AirlinePassengers`."""
    with _file("airline-passengers.csv").open(encoding="utf-8", newline="") as text:
        return Streamed(tuple(Item(row["month"], int(row["passengers"])) for row in csv.DictReader(text)))


@cache
def phishing() -> Streamed:
    """1,250 web pages, and whether each is a phishing page, 1 or 0: `river.datasets.Phishing`."""
    with gzip.open(_file("phishing.csv.gz"), "rt", encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    return Streamed(tuple(Item(_features(row), int(row["is_phishing"] == "1")) for row in rows))


def _features(row: dict[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name != "is_phishing"}


def _file(name: str) -> Path:
    found = find_spec("river")
    folders = found.submodule_search_locations if found is not None else None
    path = Path(next(iter(folders or ["river"]))) / "datasets" / name
    if not path.exists():
        raise ConfigurationError(f"The package river does not hold {path}.", "Install the locked requirements.")
    return path
