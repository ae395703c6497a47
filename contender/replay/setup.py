"""Where a replay lives: a registered model, an experiment and a Postgres schema of its own, found again by its name."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import polars as pl
import sqlalchemy as sa

from contender.replay import store as replays
from contender.replay.store import STEP
from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import connect, migrate, reachable
from core.db.pipeline_tables import decisions
from core.db.pipeline_tables import runs as settled_runs
from core.errors import ConfigurationError, ContenderError, DataRefusedError, NotFoundError
from core.jobs import run_keys
from core.jobs.calendars import expected_dates, final_at
from core.jobs.run_keys import RunKey
from features.dataset import Dataset, lookback
from features.incremental_dataset import IncrementalDataset
from ingestion.store import observations
from ingestion.store.observations import ActiveSeries
from training.registry import client as registry

_ID = r"[a-z0-9]+(-[a-z0-9]+)*"
_LONGEST = 63  # of a name in Postgres


@dataclass(frozen=True)
class ReplayWorkspace:
    """A replay of a task: the task under the replay's name, settings that name its schema, and what it goes over.

    `days` are the dates whose nights it walks, all of which are stored of the series that the task stands on.
    `champion` holds the title to begin with; empty: whom the gate crowns.
    """

    task: Task
    settings: Settings
    standing: ActiveSeries
    days: tuple[date, ...]
    champion: str


def find(
    settings: Settings, task: Task, first: date, count: int, replay_id: str, champion: str = ""
) -> ReplayWorkspace:
    """Makes the place ready: the schema with its tables, and what was begun there compared with what is asked.

    Nothing is made of what cannot begin. Raises ConfigurationError for an id that names nothing, or another replay, and
    for a champion that has no model yet; NotFoundError when nothing is stored of these days; DataRefusedError when too
    little lies before them; UnreachableError when a service does not run.
    """
    name = _name(task, replay_id)
    url = settings.require_database_url()
    settings.require_mlflow_url()
    standing, days = _stored(settings, task, first, count)
    registry.aliases(settings, name)  # says at once, and in words, when MLflow does not answer
    schema = replays.schema_of(name)
    asked = {
        "from": str(first), "series": standing.series, "task": task.config_hash, "champion": champion,
        "of": task.name, "id": replay_id,
    }  # fmt: skip
    if name in {one.name for one in replays.every(settings)}:
        replays.require_no_task(settings, name)
    else:
        replays.require_free(settings, name, schema)
        require(settings, task, standing, days[0], champion)
    engine = connect(url, schema=schema)
    try:
        migrate(engine, schema=schema)
        champion = _begin(engine, name, asked)
    finally:
        engine.dispose()
    renamed = task.model_copy(update={"name": name, "title": f"{task.title} (replay from {first})"})
    return ReplayWorkspace(renamed, settings.model_copy(update={"schema_name": schema}), standing, days, champion)


def nights_done(engine: sa.Engine, task: Task) -> set[date]:
    """The dates whose nights have been walked to their end."""
    columns = settled_runs.c
    statement = sa.select(columns.report["night"].astext).where(columns.task == task.name, columns.step == STEP)
    with reachable(), engine.connect() as connection:
        found = connection.execute(statement.where(columns.report.has_key("night"))).scalars()
        return {date.fromisoformat(night) for night in found}


def holders(engine: sa.Engine, task: Task, done: Collection[date]) -> frozenset[str]:
    """The contenders that held an alias when the last of these nights had been walked to its end.

    What a night that was cut off decided after them does not count: it is walked again, from where it began.
    """
    if not done:
        return frozenset()
    columns = decisions.c
    statement = sa.select(columns.champion, columns.challenger).where(
        columns.task == task.name, columns.decided_at <= final_at(task, max(done))
    )
    with reachable(), engine.connect() as connection:
        row = connection.execute(statement.order_by(columns.id.desc()).limit(1)).one_or_none()
    return frozenset(name for name in row or () if name)


def night_key(task: Task, night: date) -> RunKey:
    """What says that a night was walked to its end."""
    return RunKey(task.name, STEP, str(night), "night")


def _name(task: Task, replay_id: str) -> str:
    name = replays.name_of(task.name, replay_id)
    length = len(replays.schema_of(name))
    if not re.fullmatch(_ID, replay_id) or length > _LONGEST:
        raise ConfigurationError(
            f"{replay_id!r} cannot name a replay.",
            f"Use small letters, digits and - between them, at most {_LONGEST - length + len(replay_id)} in all.",
        )
    return name


def _stored(settings: Settings, task: Task, first: date, count: int) -> tuple[ActiveSeries, tuple[date, ...]]:
    """The series that the task stands on, and the dates from `first` on of which it has a value."""
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    try:
        standing = observations.active(engine, task.name)
        if standing is None:
            raise NotFoundError(
                f"Nothing is stored of the task {task.name}, and a replay goes over what is stored.",
                f"Fetch its series first: contender ingest {task.name}",
            )
        stored = observations.stored_dates(engine, standing.series)
    finally:
        engine.dispose()
    if not stored:
        raise NotFoundError(
            f"The task {task.name} stands on the series {standing.series}, of which nothing is stored.",
            f"Fetch it first: contender ingest {task.name}",
        )
    days = expected_dates(task, first, max(stored))[:count]
    if not days or first < min(stored):
        raise NotFoundError(
            f"The series {standing.series} is stored from {min(stored)} to {max(stored)}; {first} lies outside.",
            f"Give a date between them, with some history before it: --from {_middle(stored)}",
        )
    return standing, tuple(days)


def _middle(days: Collection[date]) -> date:
    return sorted(days)[len(days) // 2]


def _begin(engine: sa.Engine, name: str, asked: dict[str, str]) -> str:
    """Writes down what a replay begins with, or compares it, and returns the champion that it began with.

    Who goes on need not name the champion again.
    """
    with reachable(), engine.begin() as connection:
        replays.require_whole(connection, name)
        before = replays.begun(connection, name)
        if before is None:
            run_keys.settle(connection, RunKey(name, STEP, asked["from"], "begun"), asked)
            return asked["champion"]
    before = {**{what: asked[what] for what in ("champion", "of", "id")}, **before}
    if not asked["champion"]:
        asked = {**asked, "champion": before["champion"]}
    if differing := [what for what in asked if before[what] != asked[what]]:
        told = ", ".join(f"{what} {before[what] or 'none'}, now {_printable(asked[what])}" for what in differing)
        raise ConfigurationError(
            f"The replay {name} was begun otherwise ({told}).",
            "Go on with what it was begun with, give this one an id of its own (--id NAME), or remove that one: "
            f"contender replay --remove {name}",
        )
    return before["champion"]


def _printable(text: str) -> str:
    """What a terminal can show of a word that need not have been typed as UTF-8."""
    return text.encode("utf-8", "replace").decode()


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
