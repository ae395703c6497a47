"""How Postgres is reached, and how its tables are brought to the newest migration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from core.error_translation import explained
from core.errors import UnreachableError

_MIGRATION_LOCK = 0x636F6E74656E64  # "contend"


def connect(url: str, *, schema: str = "", pool_size: int = 4) -> sa.Engine:
    """An engine on Contender's database; `schema` puts every table into that Postgres schema."""
    options = f"-csearch_path={schema}" if schema else ""
    return sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=4,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": "contender",
            **({"options": options} if options else {}),
        },
    )


@contextmanager
def reachable() -> Iterator[None]:
    """Turns a lost or refused connection (or a full disk) into an UnreachableError; other errors pass as they are."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise explained(error) or error from error


def patiently(seconds: float) -> Retrying:
    """Calls again, each second for so long, while what is called raises UnreachableError; then raises that."""
    return Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(1),
        retry=retry_if_exception_type(UnreachableError),
        reraise=True,
    )


def require_answer(engine: sa.Engine) -> None:
    """Raises DatabaseUnreachableError when Postgres does not answer."""
    with reachable(), engine.connect() as connection:
        connection.execute(sa.select(1))


def migrate(engine: sa.Engine, *, schema: str = "") -> None:
    """Brings the database to the newest migration, once, however many processes ask at the same time."""
    from alembic import command  # half a second and 10 MB that those who only connect need not spend
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with reachable(), engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(_MIGRATION_LOCK)))
        try:
            if schema:
                connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
            connection.commit()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(sa.select(sa.func.pg_advisory_unlock(_MIGRATION_LOCK)))
            connection.commit()
