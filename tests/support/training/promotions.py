"""What a test of promotion does to a stage, and what it then finds in the ledger."""

from typing import Any

import numpy as np
import sqlalchemy as sa

from core.config.tasks import Task
from core.db.pipeline_tables import decisions
from tests.support.stage import Stage
from tests.support.training.ledger import ledger_rows
from training.ledger.entries import FORCED
from training.reports import reproduce

FLAT = [100.0] * 30


def off_by(error: float, n: int = 30, seed: int = 0) -> list[float]:
    """Forecasts of 100 with errors of about that size."""
    return (100 + np.random.default_rng(seed).uniform(0.5, 1.5, n) * error).tolist()


def with_champion(stage: Stage, value: float = 1.0) -> Stage:
    """A stage on which ridge is champion, before linear and naive."""
    stage.came_true(FLAT, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    stage.versions("naive", "ridge", "linear", value=value)
    stage.promote()
    return stage


def phases(stage: Stage) -> list[tuple[str, str, int | None, int | None]]:
    history = ledger_rows(stage.engine, stage.task.name)
    return [(e.phase, e.move.alias, e.move.from_version, e.move.to_version) for e in history]


def decided(stage: Stage) -> list[sa.Row[tuple[object, ...]]]:
    with stage.engine.connect() as connection:
        of_task = sa.select(decisions).where(decisions.c.task == stage.task.name)
        return list(connection.execute(of_task.order_by(decisions.c.id)))


def fitted_to(stage: Stage, labels: list[float], error: float) -> int:
    """The champion's contender predicts these months that well, and has a newer version. Its number."""
    n = len(labels)
    near = [label + off - 100 for label, off in zip(labels, off_by(error, n, 7), strict=True)]
    stage.came_true(labels, naive=off_by(9, n, 5), ridge=near, linear=off_by(8, n, 6))
    (newer,) = stage.versions("ridge", value=100.0)
    return newer.version


def changed(task: Task, name: str) -> Task:
    """The task with another declaration of a contender."""
    other = task.contenders[name].model_copy(update={"refit_every": 3, "first_fit": 13})
    return task.model_copy(update={"contenders": {**task.contenders, name: other}})


def sessions(stage: Stage, n: int, *, ridge: float = 6.0, linear: float = 5.0) -> None:
    stage.came_true([100.0] * n, naive=off_by(9, n, 5), ridge=off_by(ridge, n, 6), linear=off_by(linear, n, 7))
    stage.promote()


def newest(stage: Stage) -> Any:
    return decided(stage)[-1]


def is_reproduced(stage: Stage) -> None:
    """Every decision of the gate comes out as it was written down."""
    for row in decided(stage):
        if row.outcome == FORCED:
            continue
        assert reproduce.again(stage.engine, row.id).differences == (), row.id
