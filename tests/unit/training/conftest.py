"""Small tasks and datasets for the tests of training: a weather of ups and downs, and a growing series with seasons."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.config.task_files import load_task
from core.config.tasks import Contender, Task
from features.dataset import Dataset
from features.transforms import columns
from tests.support.paths import TASKS

AS_OF = datetime(2020, 1, 1, tzinfo=UTC)

MakeDataset = Callable[..., Dataset]


def dataset_of(task: Task, dates: list[date], rows: np.ndarray, labels: list[float | None]) -> Dataset:
    """A dataset whose row i has event date i and target date i + 1."""
    names = tuple(column.name for column in columns(task))
    table = pl.DataFrame({"event_date": dates[:-1], "target_date": dates[1:]}).with_columns(
        *(pl.Series(name, rows[:, i], dtype=pl.Float64) for i, name in enumerate(names)),
        pl.Series("label", labels, dtype=pl.Float64),
        pl.Series(
            "label_known_at", [None if label is None else AS_OF for label in labels], dtype=pl.Datetime("us", "UTC")
        ),
    )
    return Dataset(task.name, task.series, "test", AS_OF, table, names, "0" * 16)


def directions(task: Task, rows: int, seed: int = 1) -> Dataset:
    """`rows` days whose first feature says in advance what is likely; of the last day only the features are known."""
    chance = np.random.default_rng(seed)
    features = chance.normal(size=(rows, len(columns(task))))
    up = chance.random(rows) < np.where(features[:, 0] > 0, 0.9, 0.5)
    labels: list[float | None] = [*up[:-1].astype(float).tolist(), None]
    return dataset_of(task, [date(2000, 1, 1) + timedelta(days=i) for i in range(rows + 1)], features, labels)


def seasons(task: Task, rows: int, seed: int = 1) -> Dataset:
    """`rows` months of a series that grows by 1 % a month, with a season and a little noise."""
    chance = np.random.default_rng(seed)
    months = [date(1950 + i // 12, i % 12 + 1, 1) for i in range(rows + 12)]
    season = np.array([0.9, 0.85, 1.0, 1.0, 1.0, 1.1, 1.25, 1.25, 1.1, 0.95, 0.85, 0.95])
    values = (
        100 * 1.01 ** np.arange(rows + 12) * np.resize(season, rows + 12) * np.exp(chance.normal(0, 0.01, rows + 12))
    )
    features = np.array(
        [[*values[i : i + 12][::-1], float(month.month)] for i, month in enumerate(months[12:])], dtype=np.float64
    )
    labels: list[float | None] = [*values[12:-1].tolist(), None]
    return dataset_of(task, months[11:], features, labels)


@pytest.fixture(scope="session")
def spy() -> Task:
    """The task file `spy`, with a forest and boosting small enough to fit often."""
    return with_contenders(
        load_task(TASKS, "spy"),
        forest={"parameters": {"n_estimators": 5, "max_depth": 3}},
        boosting={"parameters": {"max_iter": 5, "max_depth": 2}},
    )


@pytest.fixture(scope="session")
def airline() -> Task:
    """The task file `airline`."""
    return load_task(TASKS, "airline")


@pytest.fixture(scope="session")
def make_dataset() -> MakeDataset:
    """`make_dataset(task, rows, seed=1)`: a dataset with the task's own features, from which anything can learn."""

    def make(task: Task, rows: int, seed: int = 1) -> Dataset:
        return (directions if task.is_classification else seasons)(task, rows, seed)

    return make


def with_contenders(task: Task, **changes: dict[str, Any]) -> Task:
    """The task with some contenders changed."""
    changed = {
        name: Contender.model_validate(declared.model_dump() | changes.get(name.replace("-", "_"), {}))
        for name, declared in task.contenders.items()
    }
    return task.model_copy(update={"contenders": changed})


@pytest.fixture(scope="session")
def change() -> Callable[..., Task]:
    """`change(task, forest={"refit_every": 5})`: the task with some contenders changed."""
    return with_contenders
