"""What is logged of an answer, and how it gets into Postgres: many lines at a time by COPY."""

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import transaction
from core.db.pipeline_tables import feature_rows
from core.errors import DatabaseUnreachableError, DataRefusedError
from serving.champion.predictor import Answer, ServedPrediction

COLUMNS = (
    "id", "made_at", "task", "series", "contender", "version", "alias", "event_date", "target_date", "value",
    "threshold", "prediction", "features_hash", "data_hash", "stale", "last_event_id",
)  # fmt: skip
"""Columns of the table `predictions`, in the order of a line."""

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

_NAMES = ", ".join(COLUMNS)
# A lock on the table must not hold the shipping thread, which ends with the worker.
_TIMEOUT = sa.text("SET LOCAL statement_timeout = '10s'")


@dataclass(frozen=True)
class LoggedFeatures:
    """A row of `feature_rows`."""

    features_hash: str
    series: str
    event_date: date
    features: dict[str, float]


@dataclass(frozen=True)
class LoggedAnswer:
    """What all deliveries of one reply share: every column but id and time, formatted once, and the features."""

    task: str
    shared: str
    features: LoggedFeatures

    @classmethod
    def of(cls, prediction: ServedPrediction, answer: Answer) -> "LoggedAnswer":
        """Formats an answer for the log."""
        version, latest, row = prediction.champion.version, prediction.latest, prediction.latest.row
        values = (
            prediction.task.name, latest.series, version.contender, version.version, answer.model_alias, answer.as_of,
            answer.target_date, prediction.value, answer.threshold, answer.prediction, row.features_hash,
            latest.data_hash, answer.stale, answer.last_event_id,
        )  # fmt: skip
        return cls(
            task=prediction.task.name,
            shared="\t".join(_field(value) for value in values) + "\n",
            features=LoggedFeatures(row.features_hash, latest.series, row.event_date, row.features),
        )

    def line(self, identity: str, made_at: datetime) -> str:
        """The line of one delivery."""
        return f"{identity}\t{made_at}\t{self.shared}"


def _field(value: object) -> str:
    r"""A value in COPY's text format.

    >>> print(_field(None), _field("a\tb"), _field(0.1))
    \N a\tb 0.1
    """
    return "\\N" if value is None else str(value).translate(_ESCAPES)


def copy(engine: sa.Engine, lines: bytes, *, again: bool) -> None:
    """Adds lines to `predictions` in one transaction; with `again`, only those whose ids are not there yet.

    Raises DatabaseUnreachableError, or DataRefusedError when Postgres refuses the lines themselves.
    """
    with _short_transaction(engine) as connection, closing(connection.connection.cursor()) as cursor:
        if not again:
            cursor.copy_expert(f"COPY predictions ({_NAMES}) FROM STDIN", io.BytesIO(lines))
            return
        # COPY has no ON CONFLICT: the lines go into a table of this transaction first.
        cursor.execute("CREATE TEMPORARY TABLE arriving (LIKE predictions) ON COMMIT DROP")
        cursor.copy_expert(f"COPY arriving ({_NAMES}) FROM STDIN", io.BytesIO(_completed(lines)))
        cursor.execute(
            f"INSERT INTO predictions ({_NAMES}) SELECT {_NAMES} FROM arriving ON CONFLICT (id) DO NOTHING"  # noqa: S608
        )


def store_features(engine: sa.Engine, features: LoggedFeatures) -> None:
    """Adds a feature row, once per hash. Raises DatabaseUnreachableError."""
    with _short_transaction(engine) as connection:
        connection.execute(
            insert(feature_rows).values(**asdict(features)).on_conflict_do_nothing(index_elements=["features_hash"])
        )


@contextmanager
def _short_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    try:
        with transaction(engine) as connection:
            connection.execute(_TIMEOUT)
            yield connection
    # The lines themselves are at fault: sent again they would be refused for ever.
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        raise DataRefusedError(f"Postgres refused logged predictions: {_first_line(error)}.") from error
    except (psycopg2.Error, sa.exc.DBAPIError) as error:
        # Errors of COPY come from psycopg2 itself and not wrapped in SQLAlchemy's classes.
        raise DatabaseUnreachableError(
            f"Postgres did not take logged predictions: {_first_line(error)}.",
            "They wait on disk and are sent again.",
        ) from error


def _completed(lines: bytes) -> bytes:
    """Lines with null for the last column, where they were written by a release that did not have it."""
    tabs = len(COLUMNS) - 1
    each = lines.removesuffix(b"\n").split(b"\n")
    return b"".join((line + b"\t\\N" if line.count(b"\t") == tabs - 1 else line) + b"\n" for line in each)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
