"""Whether a replay can begin as it is asked to: looked at before anything is made."""

from datetime import date

import polars as pl
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import connect
from core.errors import ConfigurationError, ContenderError, DataRefusedError, NotFoundError
from core.jobs.calendars import final_at
from features.dataset import Dataset, lookback
from features.incremental_dataset import IncrementalDataset
from ingestion.store import observations
from ingestion.store.observations import ActiveSeries

_LATER = "Give a later --from."


def require(settings: Settings, task: Task, standing: ActiveSeries, first: date, champion: str) -> None:
    """Raises what keeps a replay from beginning on the night `first`, with `champion` where one is named.

    DataRefusedError or NotFoundError when the history before it is too short, ConfigurationError for a champion that
    there is not, or that has no model by then.
    """
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    try:
        able = _able(task, _dataset(engine, task, standing, first))
    except DataRefusedError as error:
        raise DataRefusedError(error.problem, _enough(engine, task, standing)) from error
    finally:
        engine.dispose()
    if champion and champion not in able:
        raise ConfigurationError(
            f"{champion!r} has no model on the first night of the replay.",
            f"Begin with one of: {', '.join(able)}"
            + (", or give a later --from." if champion in task.contenders else "."),
        )


def too_early(error: ContenderError, night: date) -> ContenderError:
    """What the first night's refusal means to who asked for it."""
    if isinstance(error, DataRefusedError | NotFoundError):
        return type(error)(f"The replay cannot begin on {night}: {error.problem}", _LATER)
    return error


def _dataset(engine: sa.Engine, task: Task, standing: ActiveSeries, first: date) -> Dataset:
    try:
        return IncrementalDataset(engine, task, standing).as_of(final_at(task, first))
    except ContenderError as error:
        raise too_early(error, first) from error


def _enough(engine: sa.Engine, task: Task, standing: ActiveSeries) -> str:
    """From when on there is enough history, by the longest window of the task's features and one label."""
    stored = sorted(observations.stored_dates(engine, standing.series))
    needed = lookback(task)
    return f"Give a later one: --from {stored[needed]}, or after." if needed < len(stored) else _LATER


def _able(task: Task, dataset: Dataset) -> list[str]:
    """The contenders that have a model of this dataset: after one label, or as many as a batch one needs for a fit."""
    days = dataset.table.filter(pl.col("label").is_not_null()).height
    needed = {name: one.first_fit if one.kind == "batch" else 1 for name, one in task.contenders.items()}
    able = [name for name, labels in needed.items() if labels <= days]
    if not able:
        raise DataRefusedError(
            f"The replay cannot begin on {dataset.table['event_date'][-1]}: no contender of the task {task.name} has "
            f"learned anything by then, for {days} labels are known.",
            _LATER,
        )
    return able
