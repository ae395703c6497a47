"""Leases with a fencing token: one holder at a time, and writes of an expired holder are detected."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import transaction
from core.db.pipeline_tables import leases
from core.errors import BusyError, DatabaseUnreachableError

LEASE_SECONDS = 30.0  # how long others wait for a killed holder; it is renewed every third of that


@dataclass(frozen=True)
class Lease:
    """A held lease. `token` grows with every holder."""

    name: str
    holder: str
    token: int

    def check(self, connection: sa.Connection) -> None:
        """Lock the lease's row for the transaction; raises BusyError when another holder has taken it since."""
        current = connection.execute(
            sa.select(leases.c.token).where(leases.c.name == self.name).with_for_update()
        ).scalar_one_or_none()
        if current != self.token:
            raise BusyError(
                f"The lease {self.name!r} was taken over by another process.", "Nothing was written; run the job again."
            )


@contextmanager
def hold(engine: sa.Engine, name: str, *, wait_seconds: float = 0.0) -> Iterator[Lease]:
    """Hold the lease `name` while the block runs; a thread renews it.

    Raises BusyError when another process still holds it after `wait_seconds`.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    deadline = time.monotonic() + wait_seconds
    while (token := _take(engine, name, holder)) is None:
        if time.monotonic() >= deadline:
            raise BusyError(f"Another process holds the lease {name!r}.", "Wait until it is done, then run this again.")
        time.sleep(0.1)
    lease = Lease(name, holder, token)
    done = threading.Event()
    renewer = threading.Thread(target=_renew, args=(engine, lease, done), name=f"lease-{name}", daemon=True)
    renewer.start()
    try:
        yield lease
    finally:
        done.set()
        renewer.join()
        # Where Postgres is away the lease expires by itself; an error here would hide the block's own.
        with suppress(sa.exc.DBAPIError), engine.begin() as connection:
            connection.execute(
                sa.update(leases).where(leases.c.name == name, leases.c.token == token).values(expires_at=sa.func.now())
            )


def _expiry() -> sa.ColumnElement[object]:
    # By the database's clock: those of the machines may differ by more than a lease lasts.
    return sa.func.clock_timestamp() + sa.text(f"interval '{LEASE_SECONDS} seconds'")


def _take(engine: sa.Engine, name: str, holder: str) -> int | None:
    statement = insert(leases).values(name=name, holder=holder, token=1, expires_at=_expiry())
    statement = statement.on_conflict_do_update(
        index_elements=[leases.c.name],
        set_={"holder": holder, "token": leases.c.token + 1, "expires_at": _expiry()},
        # The insert and this condition are one statement: of two that try at once only one gets a row back.
        where=leases.c.expires_at <= sa.func.clock_timestamp(),
    )
    with transaction(engine) as connection:
        return connection.execute(statement.returning(leases.c.token)).scalar_one_or_none()


def _renew(engine: sa.Engine, lease: Lease, done: threading.Event) -> None:
    while not done.wait(LEASE_SECONDS / 3):
        # Tried again a third of the lease later; where it expired meanwhile, `check` stops the holder's writes.
        with suppress(DatabaseUnreachableError), transaction(engine) as connection:
            connection.execute(
                sa.update(leases)
                # By the token: a lease that another holder has taken over must not be renewed for it.
                .where(leases.c.name == lease.name, leases.c.token == lease.token)
                .values(expires_at=_expiry())
            )
