"""Translates exceptions of the machine, of Postgres and of HTTP into errors that say what to do."""

import errno

import psycopg2
import requests
import sqlalchemy as sa

from core.errors import ConfigurationError, ContenderError, DatabaseUnreachableError, UnreachableError

_UNDEFINED_TABLE, _DISK_FULL = "42P01", "53100"
_CONNECTION_LOST = (psycopg2.OperationalError, psycopg2.InterfaceError)


def translate(error: Exception) -> ContenderError | None:
    """The error to show and to map to an exit code; None for a fault of our own, which keeps its traceback."""
    if isinstance(error, ContenderError):
        return error
    driver_error = getattr(error, "orig", error)  # SQLAlchemy wraps what psycopg2 raises
    state = getattr(driver_error, "pgcode", None)
    if state == _DISK_FULL or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return UnreachableError(
            "The disk is full.", "Free some of it, then run the same command: it goes on from here."
        )
    if state == _UNDEFINED_TABLE:
        return ConfigurationError("The database has no tables of Contender, or old ones.", "Run `contender migrate`.")
    if isinstance(error, requests.RequestException):
        return UnreachableError(f"A service did not answer: {error}.", "See `contender status`, and try again.")
    # A connection that breaks in the middle of an answer is a plain DatabaseError without a SQLSTATE.
    is_cut = type(driver_error) is psycopg2.DatabaseError and state is None
    if isinstance(error, sa.exc.OperationalError) or isinstance(driver_error, _CONNECTION_LOST) or is_cut:
        lines = str(driver_error).strip().splitlines() or ["the connection was lost"]
        return DatabaseUnreachableError(
            f"Postgres did not answer: {lines[0]}.",
            "See that it runs (`contender status`) and that CONTENDER_DATABASE_URL is right.",
        )
    return None
