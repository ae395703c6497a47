"""A stage of four years, and replays of it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from rich.console import Console

from contender.replay import run as replay
from core.config.settings import Settings
from tests.support.stage import Stage, month, wave

FIRST, MONTHS = 16, 48


@contextmanager
def four_years(settings: Settings, engine: sa.Engine) -> Iterator[Stage]:
    """A task with a series; its replays' schemas are dropped in the end."""
    stage = Stage(settings, engine)
    stage.put(wave(MONTHS))
    yield stage
    with engine.begin() as connection:
        prefix = stage.task.name.replace("-", "_") + "_replay_"
        for schema in sa.inspect(connection).get_schema_names():
            if schema.startswith(prefix):
                connection.execute(sa.schema.DropSchema(schema, cascade=True))


def run(stage: Stage, count: int, name: str = "a", **how: str) -> str:
    """Walks so many nights of a replay, and returns what was said."""
    said = io.StringIO()
    replay.replay(stage.settings, stage.task, month(FIRST), count, name, Console(file=said, width=200), **how)
    return said.getvalue()
