"""The tables of a test: made once by the migrations, written down, and made from that ever after, in half the time."""

import subprocess

import sqlalchemy as sa

from contender.servers.postgres import binary
from core.db.engine import connect, migrate

_PATTERN = "schema_of_which_the_others_are_made"


def of_the_migrations(url: str) -> str:
    """The statements that make what the migrations make."""
    engine = connect(url, schema=_PATTERN)
    migrate(engine, schema=_PATTERN)
    statements = written_down(url, _PATTERN)
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(_PATTERN, cascade=True))
    engine.dispose()
    return statements


def written_down(url: str, schema: str) -> str:
    """The statements that make all that is in a schema."""
    plain = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    dump = [binary("pg_dump"), "--schema", schema, "--inserts", "--no-owner", "--no-privileges", plain]
    told = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    statements = "\n".join(line for line in told.splitlines() if not line.startswith(("--", "\\")))
    return statements.replace(schema, _PATTERN)


def make(engine: sa.Engine, schema: str, statements: str) -> None:
    """Makes the schema with its tables."""
    with engine.begin() as connection, connection.connection.cursor() as cursor:
        cursor.execute(f"{statements.replace(_PATTERN, schema)}\nRESET ALL")
