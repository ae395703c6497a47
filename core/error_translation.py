"""What an exception of the machine or of Postgres means to a person: translated once, at the edge."""

import errno

import psycopg2
import requests
import sqlalchemy as sa

from core.errors import ConfigurationError, ContenderError, DatabaseUnreachableError, UnreachableError

_UNDEFINED_TABLE, _DISK_FULL = "42P01", "53100"
_SILENCE = (psycopg2.OperationalError, psycopg2.InterfaceError)


def explained(error: Exception) -> ContenderError | None:
    """The error to tell and to map to an exit code; None for a fault of ours, which should be seen as it is."""
    if isinstance(error, ContenderError):
        return error
    spoken = getattr(error, "orig", error)  # what the driver said, in SQLAlchemy's wrapping or without
    state = getattr(spoken, "pgcode", None)
    if state == _DISK_FULL or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return UnreachableError(
            "The disk is full.", "Free some of it, then run the same command: it goes on from here."
        )
    if state == _UNDEFINED_TABLE:
        return ConfigurationError("The database has no tables of Contender, or old ones.", "Run `contender migrate`.")
    if isinstance(error, requests.RequestException):
        return UnreachableError(f"A service did not answer: {error}.", "See `contender status`, and try again.")
    # What libpq says in its own words, without a SQLSTATE, is a connection that broke in the middle of an answer.
    is_cut = type(spoken) is psycopg2.DatabaseError and state is None
    if isinstance(error, sa.exc.OperationalError) or isinstance(spoken, _SILENCE) or is_cut:
        said = str(spoken).strip().splitlines() or ["the connection was lost"]
        return DatabaseUnreachableError(
            f"Postgres did not answer: {said[0]}.",
            "See that it runs (`contender status`) and that CONTENDER_DATABASE_URL is right.",
        )
    return None
