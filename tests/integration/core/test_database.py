"""The tables, their migrations, leases and run keys on a real Postgres."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from core.db.engine import connect, migrate, reachable
from core.db.pipeline_tables import metadata, observations
from core.errors import BusyError, DatabaseUnreachableError
from core.jobs import leases, run_keys
from core.jobs.run_keys import RunKey
from tests.support import tables
from tests.support.paths import REPOSITORY


@pytest.fixture
def engine(database_url: str, schema: str) -> Iterator[sa.Engine]:
    """An engine on a fresh schema to which the migrations have led, as they are what is tested here."""
    engine = connect(database_url, schema=schema)
    migrate(engine, schema=schema)
    yield engine
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


def test_the_migrations_lead_to_exactly_the_tables_of_the_code(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})

        assert compare_metadata(context, metadata) == []


def test_the_tables_of_other_tests_are_those_of_the_migrations(
    engine: sa.Engine, database_url: str, schema: str, migrated: str
) -> None:
    copy = f"{schema}_copy"
    tables.make(engine, copy, migrated)

    assert tables.written_down(database_url, copy) == tables.written_down(database_url, schema) == migrated

    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(copy, cascade=True))


def test_many_processes_migrate_at_once_and_it_happens_once(database_url: str) -> None:
    schema = f"t_{uuid.uuid4().hex[:12]}"

    def bring_up(_: int) -> None:
        engine = connect(database_url, schema=schema)
        migrate(engine, schema=schema)
        engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bring_up, range(4)))

    engine = connect(database_url, schema=schema)
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == ["0004"]
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


def test_predictions_of_events_outlive_their_move_into_blocks_and_back(engine: sa.Engine) -> None:
    told = [("live", "linear", "0", seq, seq / 7) for seq in (1, 2, 4, 256, 257, 700)] + [("live", "tree", "1", 3, 0.5)]
    values = ", ".join(
        f"('{log}', '{name}', '{declared}', {seq}, {value!r})" for log, name, declared, seq, value in told
    )

    def move(where: Callable[[Config, str], None], revision: str, statement: str) -> None:
        configuration = Config()
        configuration.set_main_option("script_location", str(REPOSITORY / "core" / "db" / "migrations"))
        with engine.connect() as connection:
            configuration.attributes["connection"] = connection
            where(configuration, revision)
            connection.execute(sa.text(statement))
            connection.commit()

    def held() -> list[tuple[object, ...]]:
        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT * FROM event_predictions ORDER BY contender, seq")).all()
        return [tuple(row) for row in rows]

    move(command.downgrade, "0003", f"INSERT INTO event_predictions VALUES {values}, ('live', 'tree', '1', 4, NULL)")
    move(command.upgrade, "head", "SELECT 1")
    assert held() == told

    move(command.downgrade, "0003", "SELECT 1")
    assert held() == told


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE observations SET source = 'x'",
        "DELETE FROM observations",
        "TRUNCATE ledger",
        "DELETE FROM events",
        "UPDATE audit SET who = 'x'",
    ],
)
def test_history_cannot_be_changed_even_by_hand(engine: sa.Engine, statement: str) -> None:
    now = datetime(2020, 1, 1, tzinfo=UTC)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(observations).values(
                series="S", event_date=date(2020, 1, 1), known_at=now, source="test", fields={"value": 1.0}
            )
        )

    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement))


def test_an_unreachable_database_is_told_as_such() -> None:
    engine = connect("postgresql+psycopg2://nobody@127.0.0.1:9/none")

    with pytest.raises(DatabaseUnreachableError, match="Postgres did not answer"), reachable(), engine.connect():
        pass


def test_a_lease_has_one_holder_and_its_token_grows(engine: sa.Engine) -> None:
    with (
        leases.hold(engine, "train/spy") as first,
        pytest.raises(BusyError, match="train/spy"),
        leases.hold(engine, "train/spy"),
    ):
        pass
    with leases.hold(engine, "train/spy") as second:
        assert second.token > first.token


def test_a_late_holder_is_told_that_its_lease_was_taken_over(engine: sa.Engine) -> None:
    with leases.hold(engine, "train/spy") as late:
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE leases SET token = token + 1"))

        with pytest.raises(BusyError, match="taken over"), engine.begin() as connection:
            late.check(connection)


def test_who_waits_for_a_lease_gets_it_when_it_is_given_back(engine: sa.Engine) -> None:
    entered, release = threading.Event(), threading.Event()

    def first() -> None:
        with leases.hold(engine, "promote/spy"):
            entered.set()
            release.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    threading.Timer(0.2, release.set).start()

    with leases.hold(engine, "promote/spy", wait_seconds=10) as lease:
        assert lease.token == 2
    thread.join()


def test_settled_work_is_found_by_its_run_key_and_of_work_done_again_the_last_report(engine: sa.Engine) -> None:
    key = RunKey("spy", "train", "2018-12-31", "abc")
    assert run_keys.settled(engine, key) is None

    for count in (5, 6):
        with engine.begin() as connection:
            run_keys.settle(connection, key, {"versions": count})
        assert run_keys.settled(engine, key) == {"versions": count}
