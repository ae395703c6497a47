"""Takes the pins off a task's aliases, so that the gate may move again what a person moved by hand."""

from core import locks
from core.clock import Clock
from core.connection import connect
from core.settings import Settings
from training import forced, ledger

LEASE_WAIT_SECONDS = 30.0


def unpin(settings: Settings, task: str, clock: Clock, *, who: str, why: str) -> tuple[str, ...]:
    """The aliases that were pinned and no longer are. They stay where they stand; the ledger keeps who and why.

    Raises BusyError when a job holds the lease for longer than one waits; as `forced.require_text`.
    """
    forced.require_text(who, why)
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    try:
        with (
            locks.hold(engine, f"promote/{task}", wait_seconds=LEASE_WAIT_SECONDS) as lease,
            engine.begin() as connection,
        ):
            lease.check(connection)
            return tuple(
                alias
                for alias in (ledger.CHAMPION, ledger.CHALLENGER)
                if ledger.release(connection, task, alias, who=who, why=why, at=clock.now())
            )
    finally:
        engine.dispose()
