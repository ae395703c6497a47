"""What every pod runs first: the tables at the newest migration, and the tokens of the installation."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from contender.cluster.prepare import prepare, run
from core.auth import tokens
from core.config.settings import Settings
from core.db.engine import connect


@pytest.fixture
def bare(database_url: str, schema: str) -> Settings:
    """Settings of a schema that nobody has made yet, and the tokens of an installation."""
    return Settings(
        database_url=database_url,
        schema_name=schema,
        admin_token=tokens.new_secret(),
        trainer_token=tokens.new_secret(),
    )


def test_pods_that_begin_together_migrate_once_and_make_each_token_once(bare: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: prepare(bare), range(4)))

    assert sorted(name for names in made for name in names) == ["installation-admin", "installation-trainer"]
    engine = connect(bare.database_url, schema=bare.schema_name)
    try:
        assert {(token.name, token.role.value, token.state) for token in tokens.list_tokens(engine)} == {
            ("installation-admin", "admin", "live"),
            ("installation-trainer", "trainer", "live"),
        }
        assert run(bare) == "the database is ready; tokens created: none"
    finally:
        with engine.begin() as connection:
            connection.execute(sa.schema.DropSchema(bare.schema_name, cascade=True))
        engine.dispose()
