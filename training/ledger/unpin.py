"""Takes the pins off a task's aliases, so that the gate may move again what a person moved by hand."""

from core.config.settings import Settings
from core.db.engine import connect
from core.jobs.clock import Clock
from training.ledger import entries as ledger
from training.ledger import manual


def unpin(settings: Settings, task: str, clock: Clock, *, who: str, why: str) -> tuple[str, ...]:
    """The aliases that were pinned and no longer are. They stay where they stand; the ledger keeps who and why.

    What somebody has moved in MLflow since the last job is written down first, and released with the rest.
    Raises BusyError when a job holds the lease for longer than one waits, RegistryUnreachableError when MLflow does
    not answer; as `forced.require_text`.
    """
    manual.require_text(who, why)
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    try:
        with manual.workplace(engine, settings, task, clock) as (at, _), at.writing() as connection:
            return tuple(
                alias
                for alias in (ledger.CHAMPION, ledger.CHALLENGER)
                if ledger.release(connection, task, alias, who=who, why=why, at=clock.now())
            )
    finally:
        engine.dispose()
