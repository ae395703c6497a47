"""The replays in a database: found by name or id, and removed; and which names belong to a replay alone."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import display_path, pushed_names, task_names
from core.db.engine import connection, fetch_all, open_engine, transaction
from core.db.pipeline_tables import runs, versions
from core.errors import ConfigurationError, NotFoundError
from core.jobs import leases, run_keys
from core.jobs.run_keys import RunKey
from training.registry import versions as known_versions
from training.registry.factory import open_registry

STEP = "replay"
LEASE = "replay"
"""Held by the process that runs a replay, or removes it."""
_BETWEEN = "-replay-"
_MARK = "_replay_"
_RESERVED = "pg_"  # PostgreSQL keeps names with this beginning for itself
_MIGRATED = "alembic_version"
_TABLES = (runs.name, _MIGRATED)
_SHOWN = 12
_SETTLED = sa.select(runs.c.report).where(runs.c.step == STEP)
_REMOVING = "removing"
_ANOTHER = "Give the replay another name: --id NAME."


@dataclass(frozen=True)
class Replay:
    """A replay that was begun.

    Attributes:
        name: that of its registered model and its experiment.
        schema: the PostgreSQL schema with its tables.
        sessions: how many were run.
        task: the name of the task that is replayed.
        id: names it among the replays of the task.
        is_name_checked: whether its name was free when it began; earlier releases did not check.
        is_removing: whether its removal was begun, so that part of it may be gone.

    """

    name: str
    schema: str
    sessions: int
    task: str
    id: str
    is_name_checked: bool = True
    is_removing: bool = False

    def settings(self, settings: Settings) -> Settings:
        """The settings by which jobs and commands find its tables."""
        return settings.model_copy(update={"schema_name": self.schema})


@dataclass(frozen=True)
class MlflowContent:
    """What MLflow has of a replay: the number of versions of its registered model, and its experiment."""

    versions: int
    has_experiment: bool


def name_of(task: str, replay_id: str) -> str:
    """The name of a replay in MLflow."""
    return f"{task}{_BETWEEN}{replay_id}"


def schema_of(name: str) -> str:
    """The PostgreSQL schema of a replay.

    >>> schema_of("spy-replay-20050103"), schema_of("pg-bench-replay-a")
    ('spy_replay_20050103', '_pg_bench_replay_a')
    """
    schema = name.replace("-", "_")
    return f"_{schema}" if schema.startswith(_RESERVED) else schema


def list_all(settings: Settings) -> tuple[Replay, ...]:
    """All replays that were begun in this database, by name."""
    with _opened(settings, "") as engine, connection(engine) as opened:
        inspector = sa.inspect(opened)
        schemas = [name for name in inspector.get_schema_names() if _MARK in name]
        ours = [name for name in schemas if all(inspector.has_table(table, schema=name) for table in _TABLES)]
        found = [_found(opened, name) for name in ours]
    return tuple(sorted((replay for replay in found if replay is not None), key=lambda replay: replay.name))


def find(settings: Settings, name: str, task: str = "") -> Replay:
    """The replay of that name, such as `spy-replay-20050103`, or of that id, such as `20050103`.

    Args:
        settings: of the home.
        name: the name or the id.
        task: whose replays to look among; empty for those of all tasks.

    Raises:
        NotFoundError: there is none.
        ConfigurationError: several replays have the id.

    """
    known = [replay for replay in list_all(settings) if not task or replay.task == task]
    named = [replay for replay in known if replay.name == name] or [replay for replay in known if replay.id == name]
    if len(named) == 1:
        return named[0]
    if named:
        raise ConfigurationError(f"{name!r} is the id of several replays.", f"Name one of: {_listed(named)}.")
    of_task = f" of the task {task[:80]!r}" if task else ""
    raise NotFoundError(
        f"There is no replay {name[:80]!r}{of_task}.",
        f"Name one of: {_listed(known)}." if known else "None was begun: contender replay spy --from 2005-01-03",
    )


def stored_options(opened: sa.Connection, name: str) -> dict[str, str] | None:
    """The options that a replay was begun with; None when there is no such replay."""
    statement = _SETTLED.where(runs.c.task == name, runs.c.report.has_key("from")).order_by(runs.c.finished_at).limit(1)
    options: dict[str, str] | None = opened.execute(_in_schema(statement, name)).scalar_one_or_none()
    return options


def require_not_removing(opened: sa.Connection, name: str) -> None:
    """Raise ConfigurationError for a replay whose removal was begun: it cannot be continued."""
    if _is_removing(opened, name):
        raise ConfigurationError(
            f"The removal of the replay {name} was interrupted: part of it may be gone.",
            f"Finish it: contender replay --remove {name}. Then run the replay again; or give another --id NAME.",
        )


def mlflow_content(settings: Settings, replay: Replay) -> MlflowContent:
    """What MLflow has of a replay. Raises RegistryUnreachableError."""
    versions = open_registry(settings).versions_above(replay.name, 0)
    return MlflowContent(len(versions), open_registry(settings).has_experiment(replay.name))


def remove(settings: Settings, replay: Replay) -> None:
    """Remove its registered model, its experiment with the files of its runs, and last its schema.

    Interrupted, it can be repeated; the replay cannot be continued any more.

    Raises:
        BusyError: another process runs the replay.
        ConfigurationError: as `require_removable`.
        RegistryUnreachableError: MLflow does not answer.

    """
    with _opened(settings, replay.schema) as engine, leases.hold(engine, LEASE):
        require_removable(settings, replay)
        with transaction(engine) as opened:
            run_keys.settle(opened, RunKey(replay.name, STEP, "", _REMOVING), {_REMOVING: True})
        open_registry(settings).delete_model(replay.name)
        open_registry(settings).delete_experiment(replay.name)
        # Last, for the schema is how an interrupted removal is found again.
        with transaction(engine) as opened:
            opened.execute(sa.schema.DropSchema(replay.schema, cascade=True))


def require_removable(settings: Settings, replay: Replay) -> None:
    """Raise ConfigurationError where the registered model of its name may belong to something else.

    A replay whose name was not checked when it began must have recorded at least one of the model's versions.
    """
    remedy = (
        "Nothing was removed. The replay's tables alone go in PostgreSQL with `DROP SCHEMA "
        f"{replay.schema} CASCADE`; what is in MLflow stays."
    )
    require_no_task(settings, replay.name, remedy)
    if replay.is_name_checked:
        return
    made = {version.run_id for version in open_registry(settings).versions_above(replay.name, 0)}
    with _opened(settings, replay.schema) as engine:
        recorded = fetch_all(engine, sa.select(versions.c.run_id).where(versions.c.task == replay.name))
    if made and not made & {run_id for (run_id,) in recorded}:
        raise ConfigurationError(
            f"MLflow's registered model {replay.name} has no version that this replay made.", remedy
        )


def require_no_task(settings: Settings, name: str, remedy: str = _ANOTHER) -> None:
    """Raise ConfigurationError where a task has the name of a replay: MLflow could not tell them apart."""
    problem = ""
    if name in (*task_names(settings.tasks), *pushed_names(settings.tasks)):
        problem = f"there is a task of that name in {display_path(settings.tasks / f'{name}.yaml')}"
    elif _has_trained(settings, name):
        problem = "a task of that name has trained versions in this database"
    if problem:
        raise ConfigurationError(f"{name} cannot be the name of a replay: {problem}.", remedy)


def require_free(settings: Settings, name: str, schema: str) -> None:
    """Raise ConfigurationError where something else has the name in MLflow, or the schema, of a replay to begin."""
    require_no_task(settings, name)
    if open_registry(settings).aliases(name) is not None:
        taken = f"MLflow has a registered model {name} already"
    elif open_registry(settings).has_experiment(name):
        # An experiment may outlive its registered model: MLflow deletes them one by one.
        taken = f"MLflow has an experiment {name} already"
    elif _is_used(settings, schema):
        taken = f"PostgreSQL has a schema {schema} with something else in it"
    else:
        return
    raise ConfigurationError(f"{taken}, which no replay in this database has made.", _ANOTHER)


def _has_trained(settings: Settings, name: str) -> bool:
    """Whether the tasks' own schema has versions of that name."""
    with _opened(settings, settings.schema_name) as engine:
        with connection(engine) as opened:
            is_there = sa.inspect(opened).has_table(versions.name, schema=settings.schema_name or None)
        return is_there and known_versions.highest(engine, name) > 0


def _is_used(settings: Settings, schema: str) -> bool:
    """Whether a schema has other tables than the first ones of a replay that was killed while it began."""
    with _opened(settings, schema) as engine, connection(engine) as opened:
        inspector = sa.inspect(opened)
        if not inspector.get_table_names(schema=schema):
            return False
        columns = {table: _columns(inspector, table, schema) for table in _TABLES}
        if columns != {runs.name: set(runs.c.keys()), _MIGRATED: {"version_num"}}:
            return True
        return opened.execute(sa.select(sa.exists().select_from(runs))).scalar_one()


def _columns(inspector: sa.Inspector, table: str, schema: str) -> set[str]:
    if not inspector.has_table(table, schema=schema):
        return set()
    return {column["name"] for column in inspector.get_columns(table, schema=schema)}


def _found(opened: sa.Connection, schema: str) -> Replay | None:
    """The replay of a schema; None for a schema of something else, whatever its tables are like."""
    try:
        # A savepoint: a query that fails would otherwise end the transaction of all the others.
        with opened.begin_nested():
            return _read(opened, schema)
    except (sa.exc.ProgrammingError, sa.exc.DataError):  # tables with other columns, or without permission to read
        return None


def _read(opened: sa.Connection, schema: str) -> Replay | None:
    name = schema.removeprefix("_").replace("_", "-")
    if schema_of(name) != schema or (options := stored_options(opened, name)) is None:
        return None
    finished = _SETTLED.where(runs.c.task == name, runs.c.report.has_key("night")).subquery()
    counted = sa.select(sa.func.count()).select_from(finished)
    count = opened.execute(_in_schema(counted, name)).scalar_one()
    task, _, replay_id = name.partition(_BETWEEN)
    return Replay(
        name,
        schema,
        count,
        options.get("of", task),
        options.get("id", replay_id),
        is_name_checked="id" in options,
        is_removing=_is_removing(opened, name),
    )


def _is_removing(opened: sa.Connection, name: str) -> bool:
    statement = _SETTLED.where(runs.c.task == name, runs.c.report.has_key(_REMOVING)).limit(1)
    return opened.execute(_in_schema(statement, name)).first() is not None


def _in_schema(statement: sa.Select[Any], name: str) -> sa.Select[Any]:
    """A statement that reads the tables in the schema of a replay."""
    return statement.execution_options(schema_translate_map={None: schema_of(name)})


def _opened(settings: Settings, schema: str) -> AbstractContextManager[sa.Engine]:
    return open_engine(settings.require_database_url(), schema=schema)


def _listed(known: list[Replay]) -> str:
    names = ", ".join(replay.name for replay in known[:_SHOWN])
    return names if len(known) <= _SHOWN else f"{names} and {len(known) - _SHOWN} more"
