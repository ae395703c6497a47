"""Connections and transactions of Postgres, queries, and the migration of its tables."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from core.error_translation import translate
from core.errors import UnreachableError

_MIGRATION_LOCK = 0x636F6E74656E64  # "contend"


def connect(url: str, *, schema: str = "", pool_size: int = 4) -> sa.Engine:
    """An engine on Contender's database; `schema` puts every table into that Postgres schema."""
    options = f"-csearch_path={schema}" if schema else ""
    return sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=4,
        pool_pre_ping=True,  # a Postgres that was restarted has closed the pooled connections
        connect_args={
            "connect_timeout": 5,
            "application_name": "contender",
            **({"options": options} if options else {}),
        },
    )


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a lost or refused connection, or a full disk, into an UnreachableError; other errors pass as they are."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise translate(error) or error from error


@contextmanager
def open_engine(url: str, *, schema: str = "", pool_size: int = 4) -> Iterator[sa.Engine]:
    """An engine for the length of a block; its connections are given back at the end. See `connect`."""
    engine = connect(url, schema=schema, pool_size=pool_size)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose transaction is rolled back at the end. Raises UnreachableError as `reachable` does."""
    with reachable(), engine.connect() as opened:
        yield opened


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose transaction is committed at the end. Raises UnreachableError as `reachable` does."""
    with reachable(), engine.begin() as opened:
        yield opened


def fetch_all(engine: sa.Engine, statement: sa.Executable) -> Sequence[sa.Row[Any]]:
    """Every row of a query. Raises UnreachableError as `reachable` does."""
    with connection(engine) as opened:
        return opened.execute(statement).all()


def fetch_one(engine: sa.Engine, statement: sa.Executable) -> sa.Row[Any] | None:
    """The first row of a query; None where it has none. Raises UnreachableError as `reachable` does."""
    with connection(engine) as opened:
        return opened.execute(statement).first()


def fetch_scalar(engine: sa.Engine, statement: sa.Executable) -> Any:
    """The first column of a query's first row; None where it has none. Raises UnreachableError as `reachable` does."""
    with connection(engine) as opened:
        return opened.execute(statement).scalar()


def patiently(seconds: float) -> Retrying:
    """Retries a call each second for so many seconds while it raises UnreachableError; then that is raised."""
    return Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(1),
        retry=retry_if_exception_type(UnreachableError),
        reraise=True,
    )


def require_answer(engine: sa.Engine) -> None:
    """Raises DatabaseUnreachableError when Postgres does not answer."""
    fetch_scalar(engine, sa.select(1))


def migrate(engine: sa.Engine, *, schema: str = "") -> None:
    """Brings the database to the newest migration, once, however many processes ask at the same time."""
    from alembic import command  # half a second and 10 MB that those who only connect need not spend
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with reachable(), engine.connect() as connection:
        # Of the session, not the transaction: migrations commit in between.
        connection.execute(sa.select(sa.func.pg_advisory_lock(_MIGRATION_LOCK)))
        try:
            if schema:
                connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
            connection.commit()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
            connection.commit()
        finally:
            # After a migration that failed the transaction is aborted, and the unlock would fail as well.
            connection.rollback()
            connection.execute(sa.select(sa.func.pg_advisory_unlock(_MIGRATION_LOCK)))
            connection.commit()
