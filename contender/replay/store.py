"""The replays that there are: found again by name, for the commands that look into one, and removed."""

from dataclasses import dataclass

import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import display_path, pushed_names, task_names
from core.db.engine import connect, reachable
from core.db.pipeline_tables import runs, versions
from core.errors import ConfigurationError, NotFoundError
from core.jobs import leases, run_keys
from core.jobs.run_keys import RunKey
from training.registry import client as registry
from training.registry import versions as known_versions

STEP = "replay"
LEASE = "replay"
"""Held by who walks a replay, or removes it."""
_BETWEEN = "-replay-"
_MARK = "_replay_"
_RESERVED = "pg_"  # Postgres keeps the names that begin so for itself
_TABLES = (runs.name, "alembic_version")
_SHOWN = 12
_SETTLED = sa.select(runs.c.report).where(runs.c.step == STEP)
_Options = dict[str, dict[None, str]]
_REMOVING = "removing"


@dataclass(frozen=True)
class Replay:
    """One that was begun: of a task, under an id. `name` is that of its registered model and its experiment.

    `is_vouched`: nobody else had that name when it began, which of those begun by an older Contender is not known.
    `is_removing`: its removal was begun, and part of it may be gone.
    """

    name: str
    schema: str
    nights: int
    task: str
    id: str
    is_vouched: bool = True
    is_removing: bool = False

    def settings(self, settings: Settings) -> Settings:
        """The settings by which jobs and commands find its tables."""
        return settings.model_copy(update={"schema_name": self.schema})


@dataclass(frozen=True)
class Kept:
    """What MLflow has of a replay: so many versions of its registered model, and its experiment."""

    versions: int
    has_experiment: bool


def name_of(task: str, replay_id: str) -> str:
    """What a replay is called in MLflow."""
    return f"{task}{_BETWEEN}{replay_id}"


def schema_of(name: str) -> str:
    """The Postgres schema of a replay.

    >>> schema_of("spy-replay-20050103"), schema_of("pg-bench-replay-a")
    ('spy_replay_20050103', '_pg_bench_replay_a')
    """
    schema = name.replace("-", "_")
    return f"_{schema}" if schema.startswith(_RESERVED) else schema


def every(settings: Settings) -> tuple[Replay, ...]:
    """All that were begun in this database, by name."""
    engine = connect(settings.require_database_url())
    try:
        with reachable(), engine.connect() as connection:
            inspector = sa.inspect(connection)
            schemas = [name for name in inspector.get_schema_names() if _MARK in name]
            ours = [name for name in schemas if all(inspector.has_table(table, schema=name) for table in _TABLES)]
            found = [_found(connection, name) for name in ours]
    finally:
        engine.dispose()
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.name))


def find(settings: Settings, name: str, task: str = "") -> Replay:
    """The replay of that name, such as `spy-replay-20050103`, or of that id, such as `20050103`.

    With `task` only its own. Raises NotFoundError when there is none, ConfigurationError for the id of several.
    """
    known = [one for one in every(settings) if not task or one.task == task]
    named = [one for one in known if one.name == name] or [one for one in known if one.id == name]
    if len(named) == 1:
        return named[0]
    if named:
        raise ConfigurationError(f"{name!r} is the id of several replays.", f"Name one of: {_listed(named)}.")
    of_task = f" of the task {task[:80]!r}" if task else ""
    raise NotFoundError(
        f"There is no replay {name[:80]!r}{of_task}.",
        f"Name one of: {_listed(known)}." if known else "None was begun: contender replay spy --from 2005-01-03",
    )


def begun(connection: sa.Connection, name: str) -> dict[str, str] | None:
    """What a replay was begun with; None when it was not."""
    told = _SETTLED.where(runs.c.task == name, runs.c.report.has_key("from")).order_by(runs.c.finished_at).limit(1)
    row: dict[str, str] | None = connection.execute(told, execution_options=_looking(name)).scalar_one_or_none()
    return row


def require_whole(connection: sa.Connection, name: str) -> None:
    """Raises ConfigurationError for a replay whose removal was begun: it cannot be gone on with."""
    if _is_removing(connection, name):
        raise ConfigurationError(
            f"The removal of the replay {name} was begun and cut off: part of it may be gone.",
            f"Finish it: contender replay --remove {name}. Then it can be walked anew; or give another --id NAME.",
        )


def held_in_mlflow(settings: Settings, replay: Replay) -> Kept:
    """What MLflow has of a replay. Raises RegistryUnreachableError."""
    versions = registry.versions_above(settings, replay.name, 0)
    return Kept(len(versions), registry.has_experiment(settings, replay.name))


def require_removable(settings: Settings, replay: Replay) -> None:
    """Raises ConfigurationError where what MLflow has under its name is somebody else's."""
    require_own(settings, replay.name, replay.schema, is_vouched=replay.is_vouched)


def remove(settings: Settings, replay: Replay) -> None:
    """Removes its registered model, its experiment with the files of its runs, and last its schema.

    Cut off, it can be asked for again, and the replay can no longer be walked. Raises BusyError when somebody walks it,
    RegistryUnreachableError, and as `require_removable`.
    """
    engine = connect(settings.require_database_url(), schema=replay.schema)
    try:
        with leases.hold(engine, LEASE):
            require_removable(settings, replay)
            with reachable(), engine.begin() as connection:
                run_keys.settle(connection, RunKey(replay.name, STEP, "", _REMOVING), {_REMOVING: True})
            registry.delete_model(settings, replay.name)
            registry.delete_experiment(settings, replay.name)
            with reachable(), engine.begin() as connection:
                connection.execute(sa.schema.DropSchema(replay.schema, cascade=True))
    finally:
        engine.dispose()


def _found(connection: sa.Connection, schema: str) -> Replay | None:
    """The replay of a schema; None for a schema that is somebody else's, whatever its tables are like."""
    try:
        with connection.begin_nested():
            return _read(connection, schema)
    except (sa.exc.ProgrammingError, sa.exc.DataError):  # tables of another shape, or that we may not read
        return None


def _read(connection: sa.Connection, schema: str) -> Replay | None:
    name = schema.removeprefix("_").replace("_", "-")
    if schema_of(name) != schema or (report := begun(connection, name)) is None:
        return None
    nights = _SETTLED.where(runs.c.task == name, runs.c.report.has_key("night")).subquery()
    counted = sa.select(sa.func.count()).select_from(nights)
    count = connection.execute(counted, execution_options=_looking(name)).scalar_one()
    task, _, replay_id = name.partition(_BETWEEN)
    stored = report.get("of", task), report.get("id", replay_id)
    return Replay(name, schema, count, *stored, is_vouched="id" in report, is_removing=_is_removing(connection, name))


def _is_removing(connection: sa.Connection, name: str) -> bool:
    told = _SETTLED.where(runs.c.task == name, runs.c.report.has_key(_REMOVING)).limit(1)
    return connection.execute(told, execution_options=_looking(name)).first() is not None


def _looking(name: str) -> _Options:
    """Makes a statement look into the schema of a replay."""
    return {"schema_translate_map": {None: schema_of(name)}}


def _listed(known: list[Replay]) -> str:
    names = ", ".join(one.name for one in known[:_SHOWN])
    return names if len(known) <= _SHOWN else f"{names} and {len(known) - _SHOWN} more"


_ANOTHER = "Give the replay another name: --id NAME."
_MIGRATED = "alembic_version"


def require_no_task(settings: Settings, name: str, remedy: str = _ANOTHER) -> None:
    """Raises ConfigurationError where a task bears the name of a replay: in MLflow both would be one."""
    bearing = ""
    if name in (*task_names(settings.tasks), *pushed_names(settings.tasks)):
        bearing = f"there is a task of that name in {display_path(settings.tasks / f'{name}.yaml')}"
    elif _has_trained(settings, name):
        bearing = "a task of that name has trained versions in this database"
    if bearing:
        raise ConfigurationError(f"{name} is not a replay's alone: {bearing}.", remedy)


def require_free(settings: Settings, name: str, schema: str) -> None:
    """Raises ConfigurationError where something else than a replay has what one that begins would make.

    Looked at before the first night: MLflow's registered model and experiment of that name, and the schema.
    """
    require_no_task(settings, name)
    if registry.aliases(settings, name, registry.JOB) is not None:
        taken = f"MLflow has a registered model {name} already"
    elif registry.has_experiment(settings, name):
        taken = f"MLflow has an experiment {name} already"
    elif _is_used(settings, schema):
        taken = f"PostgreSQL has a schema {schema} with something else in it"
    else:
        return
    raise ConfigurationError(f"{taken}, which no replay in this database has made.", _ANOTHER)


def require_own(settings: Settings, name: str, schema: str, *, is_vouched: bool) -> None:
    """Raises ConfigurationError where the registered model of a replay's name is not, or not only, that replay's.

    `is_vouched`: when it began nobody else had the name. Of others at least one version must be known in its schema.
    """
    remedy = (
        "Nothing was removed. The replay's tables alone go in PostgreSQL with `DROP SCHEMA "
        f"{schema} CASCADE`; what is in MLflow stays."
    )
    require_no_task(settings, name, remedy)
    made = set() if is_vouched else {one.run_id for one in registry.versions_above(settings, name, 0)}
    if made and not made & _runs_of(settings, name, schema):
        raise ConfigurationError(f"MLflow's registered model {name} has no version that this replay made.", remedy)


def _has_trained(settings: Settings, name: str) -> bool:
    """Whether the tasks' own schema knows versions of that name."""
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    try:
        with reachable(), engine.connect() as connection:
            is_there = sa.inspect(connection).has_table(versions.name, schema=settings.schema_name or None)
        return is_there and known_versions.highest(engine, name) > 0
    finally:
        engine.dispose()


def _runs_of(settings: Settings, name: str, schema: str) -> set[str]:
    """The runs in MLflow of the versions that a replay has recorded."""
    engine = connect(settings.require_database_url(), schema=schema)
    try:
        with reachable(), engine.connect() as connection:
            return set(connection.execute(sa.select(versions.c.run_id).where(versions.c.task == name)).scalars())
    finally:
        engine.dispose()


def _is_used(settings: Settings, schema: str) -> bool:
    """Whether a schema has tables that are not what a replay leaves that was killed while it began."""
    engine = connect(settings.require_database_url(), schema=schema)
    try:
        with reachable(), engine.connect() as connection:
            inspector = sa.inspect(connection)
            if not inspector.get_table_names(schema=schema):
                return False
            columns = {one: _columns(inspector, one, schema) for one in (runs.name, _MIGRATED)}
            if columns != {runs.name: set(runs.c.keys()), _MIGRATED: {"version_num"}}:
                return True
            return connection.execute(sa.select(sa.exists().select_from(runs))).scalar_one()
    finally:
        engine.dispose()


def _columns(inspector: sa.Inspector, table: str, schema: str) -> set[str]:
    if not inspector.has_table(table, schema=schema):
        return set()
    return {column["name"] for column in inspector.get_columns(table, schema=schema)}
