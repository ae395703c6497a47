"""What a test of promotion does to a stage, and what it then finds in the ledger."""

import numpy as np
import sqlalchemy as sa

from core.db.pipeline_tables import decisions
from tests.integration.stage import Stage
from training.ledger import entries as ledger

FLAT = [100.0] * 30


def off_by(error: float, n: int = 30, seed: int = 0) -> list[float]:
    """Forecasts of 100 with errors of about that size."""
    return (100 + np.random.default_rng(seed).uniform(0.5, 1.5, n) * error).tolist()


def crowned(stage: Stage, value: float = 1.0) -> Stage:
    """A stage on which ridge has been crowned before linear and naive."""
    stage.came_true(FLAT, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    stage.versions("naive", "ridge", "linear", value=value)
    stage.promote()
    return stage


def phases(stage: Stage) -> list[tuple[str, str, int | None, int | None]]:
    history = ledger.history(stage.engine, stage.task.name)
    return [(e.phase, e.move.alias, e.move.from_version, e.move.to_version) for e in history]


def decided(stage: Stage) -> list[sa.Row[tuple[object, ...]]]:
    with stage.engine.connect() as connection:
        of_task = sa.select(decisions).where(decisions.c.task == stage.task.name)
        return list(connection.execute(of_task.order_by(decisions.c.id)))
