"""Logged answers into Postgres, many at a time by COPY; and the features behind them."""

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import reachable
from core.db.pipeline_tables import feature_rows
from core.errors import DatabaseUnreachableError, DataRefusedError
from serving.prediction_log.logged import COLUMNS, LoggedFeatures

_NAMES = ", ".join(COLUMNS)
_TIMEOUT = sa.text("SET LOCAL statement_timeout = '10s'")


def copy(engine: sa.Engine, lines: bytes, *, again: bool) -> None:
    """Adds lines to `predictions` in one transaction. `again`: those that are there already are left alone.

    Raises DatabaseUnreachableError, or DataRefusedError when Postgres refuses the lines themselves.
    """
    with _transaction(engine) as connection, closing(connection.connection.cursor()) as cursor:
        if not again:
            cursor.copy_expert(f"COPY predictions ({_NAMES}) FROM STDIN", io.BytesIO(lines))
            return
        cursor.execute("CREATE TEMPORARY TABLE arriving (LIKE predictions) ON COMMIT DROP")
        cursor.copy_expert(f"COPY arriving ({_NAMES}) FROM STDIN", io.BytesIO(_completed(lines)))
        cursor.execute(
            f"INSERT INTO predictions ({_NAMES}) SELECT {_NAMES} FROM arriving ON CONFLICT (id) DO NOTHING"  # noqa: S608
        )


def store_features(engine: sa.Engine, features: LoggedFeatures) -> None:
    """Adds a feature row, once per hash. Raises DatabaseUnreachableError."""
    with _transaction(engine) as connection:
        connection.execute(
            insert(feature_rows).values(**asdict(features)).on_conflict_do_nothing(index_elements=["features_hash"])
        )


@contextmanager
def _transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    try:
        with reachable(), engine.begin() as connection:
            connection.execute(_TIMEOUT)
            yield connection
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        raise DataRefusedError(f"Postgres refused logged predictions: {_first_line(error)}.") from error
    except (psycopg2.Error, sa.exc.DBAPIError) as error:
        # What COPY meets comes from psycopg2 itself, past SQLAlchemy's classes.
        raise DatabaseUnreachableError(
            f"Postgres did not take logged predictions: {_first_line(error)}.",
            "They wait on disk and are sent again.",
        ) from error


def _completed(lines: bytes) -> bytes:
    """Lines with null for the last column where they were written before there was one."""
    tabs = len(COLUMNS) - 1
    told = lines.removesuffix(b"\n").split(b"\n")
    return b"".join((line + b"\t\\N" if line.count(b"\t") == tabs - 1 else line) + b"\n" for line in told)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
