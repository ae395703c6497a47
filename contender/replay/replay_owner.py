"""Whose a name is: a replay begins in no registered model, experiment or schema of somebody else, and removes none."""

import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import pushed_names, shown, task_names
from core.db.engine import connect, reachable
from core.db.pipeline_tables import runs, versions
from core.errors import ConfigurationError
from training.registry import client as registry
from training.registry import versions as known_versions

_ANOTHER = "Give the replay another name: --id NAME."
_MIGRATED = "alembic_version"


def require_no_task(settings: Settings, name: str, remedy: str = _ANOTHER) -> None:
    """Raises ConfigurationError where a task bears the name of a replay: in MLflow both would be one."""
    bearing = ""
    if name in (*task_names(settings.tasks), *pushed_names(settings.tasks)):
        bearing = f"there is a task of that name in {shown(settings.tasks / f'{name}.yaml')}"
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
