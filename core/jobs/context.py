"""What the training and promote jobs use while they hold their lease."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from core.config.settings import Settings
from core.db.engine import transaction
from core.jobs.clock import Clock
from core.jobs.leases import Lease


@dataclass(frozen=True)
class JobContext:
    """The addresses, our database, the lease that fences what is written, and the clock."""

    settings: Settings
    engine: sa.Engine
    lease: Lease
    clock: Clock

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the lease. Raises BusyError when another process has taken it over."""
        with transaction(self.engine) as connection:
            # In each transaction: between two of them the lease may have expired, and another process may be at work.
            self.lease.check(connection)
            yield connection
