"""What the training and promote jobs work with, once they hold their lease."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from core.config.settings import Settings
from core.db.engine import reachable
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
        """One transaction, begun by checking the lease: raises BusyError when another process has taken over."""
        with reachable(), self.engine.begin() as connection:
            self.lease.check(connection)
            yield connection
