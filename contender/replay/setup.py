"""Where a replay keeps its data, checked before anything is created: a registered model, an experiment and a schema."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

import polars as pl
import sqlalchemy as sa

from contender.replay import store
from contender.replay.store import STEP
from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import fetch_all, fetch_one, migrate, open_engine, transaction
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
from training.registry.base import POLL
from training.registry.factory import open_registry

_ID = r"[a-z0-9]+(-[a-z0-9]+)*"
# Characters of a name in PostgreSQL, which cuts longer ones without an error.
_LONGEST = 63
_LATER = "Give a later --from."


@dataclass(frozen=True)
class ReplayWorkspace:
    """A replay of a task.

    Attributes:
        task: under the replay's name.
        settings: with the replay's schema.
        active: the stored series that the task uses.
        days: the dates of the sessions, all of them stored.
        champion: the contender to begin with; empty where the gate chooses.

    """

    task: Task
    settings: Settings
    active: ActiveSeries
    days: tuple[date, ...]
    champion: str


def prepare(
    settings: Settings, task: Task, first: date, count: int, replay_id: str, champion: str = ""
) -> ReplayWorkspace:
    """Create the schema of a replay, or find it and compare the options with those it was begun with.

    Nothing is created for a replay that cannot begin.

    Args:
        settings: of the home, with the task's own schema.
        task: to be replayed.
        first: the date of the first session.
        count: the number of sessions, at most; the stored series may end earlier.
        replay_id: names the replay `TASK-replay-ID`.
        champion: the contender to begin with; empty where the gate chooses.

    Raises:
        ConfigurationError: the id is not valid, or names a replay begun with other options, or something else has the
            name; or the champion has no model yet.
        NotFoundError: nothing is stored of these dates.
        DataRefusedError: too little is stored before them.
        UnreachableError: PostgreSQL or MLflow does not answer.

    """
    name = _name(task, replay_id)
    url = settings.require_database_url()
    settings.require_mlflow_url()
    active, days = _stored(settings, task, first, count)
    # Raises now, rather than after minutes of work, when MLflow does not answer.
    open_registry(settings, POLL).aliases(name)
    schema = store.schema_of(name)
    options = {
        "from": str(first), "series": active.series, "task": task.config_hash, "champion": champion,
        "of": task.name, "id": replay_id,
    }  # fmt: skip
    if name in {replay.name for replay in store.list_all(settings)}:
        store.require_no_task(settings, name)
    else:
        store.require_free(settings, name, schema)
        _require_able(settings, task, active, days[0], champion)
    with open_engine(url, schema=schema) as engine:
        migrate(engine, schema=schema)
        champion = _begin(engine, name, options)
    # Under another name all jobs write to the replay's own model, experiment and rows.
    renamed = task.model_copy(update={"name": name, "title": f"{task.title} (replay from {first})"})
    return ReplayWorkspace(renamed, settings.model_copy(update={"schema_name": schema}), active, days, champion)


def finished_sessions(engine: sa.Engine, task: Task) -> set[date]:
    """The dates of the sessions that have been run to their end."""
    columns = settled_runs.c
    statement = sa.select(columns.report["night"].astext).where(
        columns.task == task.name, columns.step == STEP, columns.report.has_key("night")
    )
    return {date.fromisoformat(session) for (session,) in fetch_all(engine, statement)}


def alias_holders(engine: sa.Engine, task: Task, done: Collection[date]) -> frozenset[str]:
    """The contenders that held an alias at the end of the last of these sessions.

    What an interrupted session decided after them does not count: it is run again from its beginning.
    """
    if not done:
        return frozenset()
    columns = decisions.c
    statement = sa.select(columns.champion, columns.challenger).where(
        columns.task == task.name, columns.decided_at <= final_at(task, max(done))
    )
    row = fetch_one(engine, statement.order_by(columns.id.desc()).limit(1))
    return frozenset(name for name in row or () if name)


def session_key(task: Task, session: date) -> RunKey:
    """The key under which it is recorded that a session was run to its end."""
    return RunKey(task.name, STEP, str(session), "night")


def cannot_begin(error: ContenderError, session: date) -> ContenderError:
    """The error of the first session, put as the reason why the replay cannot begin."""
    if isinstance(error, DataRefusedError | NotFoundError):
        return type(error)(f"The replay cannot begin on {session}: {error.problem}", _LATER)
    return error


def _name(task: Task, replay_id: str) -> str:
    name = store.name_of(task.name, replay_id)
    length = len(store.schema_of(name))
    if not re.fullmatch(_ID, replay_id) or length > _LONGEST:
        raise ConfigurationError(
            f"{replay_id!r} cannot name a replay.",
            f"Use small letters, digits and - between them, at most {_LONGEST - length + len(replay_id)} in all.",
        )
    return name


def _stored(settings: Settings, task: Task, first: date, count: int) -> tuple[ActiveSeries, tuple[date, ...]]:
    """The series that the task uses, and the dates from `first` on that it has a value for."""
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        active = observations.active(engine, task.name)
        if active is None:
            raise NotFoundError(
                f"Nothing is stored of the task {task.name}, and a replay runs over stored data.",
                f"Fetch its series first: contender ingest {task.name}",
            )
        stored = observations.stored_dates(engine, active.series)
    if not stored:
        raise NotFoundError(
            f"The task {task.name} uses the series {active.series}, of which nothing is stored.",
            f"Fetch it first: contender ingest {task.name}",
        )
    days = expected_dates(task, first, max(stored))[:count]
    if not days or first < min(stored):
        middle = sorted(stored)[len(stored) // 2]
        raise NotFoundError(
            f"The series {active.series} is stored from {min(stored)} to {max(stored)}; {first} lies outside.",
            f"Give a date between them, with some history before it: --from {middle}",
        )
    return active, tuple(days)


def _begin(engine: sa.Engine, name: str, options: dict[str, str]) -> str:
    """Record the options of a new replay, or compare them with the recorded ones. Returns its first champion.

    The champion may be left out by the commands that continue a replay.
    """
    with transaction(engine) as connection:
        store.require_not_removing(connection, name)
        before = store.stored_options(connection, name)
        if before is None:
            run_keys.settle(connection, RunKey(name, STEP, options["from"], "begun"), options)
            return options["champion"]
    # Earlier releases did not record these.
    before = {**{key: options[key] for key in ("champion", "of", "id")}, **before}
    if not options["champion"]:
        options = {**options, "champion": before["champion"]}
    if differing := [key for key in options if before[key] != options[key]]:
        listed = ", ".join(f"{key} {before[key] or 'none'}, now {_printable(options[key])}" for key in differing)
        raise ConfigurationError(
            f"The replay {name} was begun with other options ({listed}).",
            "Continue it with the same options, give this one an id of its own (--id NAME), or remove that one: "
            f"contender replay --remove {name}",
        )
    return before["champion"]


def _printable(text: str) -> str:
    """The text as a terminal can show it: an argument of the command line need not be valid UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _require_able(settings: Settings, task: Task, active: ActiveSeries, first: date, champion: str) -> None:
    """Raise what keeps a replay from beginning with the session `first`.

    DataRefusedError or NotFoundError: the history before it is too short. ConfigurationError: the named champion is no
    contender, or has no model by then.
    """
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        try:
            able = _able(task, _dataset(engine, task, active, first))
        except DataRefusedError as error:
            raise DataRefusedError(error.problem, _enough_history(engine, task, active)) from error
    if champion and champion not in able:
        raise ConfigurationError(
            f"{champion!r} has no model at the first session of the replay.",
            f"Begin with one of: {', '.join(able)}"
            + (", or give a later --from." if champion in task.contenders else "."),
        )


def _dataset(engine: sa.Engine, task: Task, active: ActiveSeries, first: date) -> Dataset:
    try:
        return IncrementalDataset(engine, task, active).as_of(final_at(task, first))
    except ContenderError as error:
        raise cannot_begin(error, first) from error


def _enough_history(engine: sa.Engine, task: Task, active: ActiveSeries) -> str:
    """The first date with enough history: the longest window of the task's features, and one label."""
    stored = sorted(observations.stored_dates(engine, active.series))
    needed = lookback(task)
    return f"Give a later one: --from {stored[needed]}, or after." if needed < len(stored) else _LATER


def _able(task: Task, dataset: Dataset) -> list[str]:
    """The contenders with a model of this dataset: after one label, or after as many as a batch fit needs."""
    labels = dataset.table.filter(pl.col("label").is_not_null()).height
    needed = {name: one.first_fit if one.kind == "batch" else 1 for name, one in task.contenders.items()}
    able = [name for name, count in needed.items() if count <= labels]
    if not able:
        raise DataRefusedError(
            f"The replay cannot begin on {dataset.table['event_date'][-1]}: no contender of the task {task.name} has "
            f"learned anything by then, for {labels} labels are known.",
            _LATER,
        )
    return able
