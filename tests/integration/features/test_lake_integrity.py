"""The lake's files carry the hash of what they hold, and what is trained on fits what is declared."""

from collections.abc import Callable

import polars as pl
import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import Feature, Task
from core.errors import IntegrityError, NotFoundError
from core.jobs.clock import FixedClock
from core.jobs.runner import exit_code
from features import lake
from ingestion.store.observations import Observation
from tests.support.known_history import NOW, put, run_at, sp500
from training import train


@pytest.fixture(scope="module")
def gspc() -> list[Observation]:
    return sp500(100)


@pytest.fixture
def spy(settings: Settings) -> Task:
    return load_task(settings.tasks, "spy")


def one_value_changed(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.when(pl.int_range(pl.len()) == 7).then(0.5).otherwise("return_1").alias("return_1"))


def a_label_forgotten(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise("label").alias("label"))


@pytest.mark.parametrize("change", [one_value_changed, a_label_forgotten, lambda table: table])
@pytest.mark.parametrize("keep_metadata", [True, False])
def test_a_file_written_by_another_hand_is_refused_and_built_anew(
    settings: Settings,
    engine: sa.Engine,
    spy: Task,
    gspc: list[Observation],
    change: Callable[[pl.DataFrame], pl.DataFrame],
    keep_metadata: bool,
) -> None:
    put(engine, gspc)
    first = run_at(settings, spy)
    kept = lake.latest(settings, engine, "spy").table
    train_file = settings.lake / "spy" / first.data_hash / "train.parquet"
    before = pl.read_parquet(train_file)
    changed = change(before)
    metadata = pl.read_parquet_metadata(train_file) if keep_metadata else None
    changed.write_parquet(train_file, metadata={k: v for k, v in (metadata or {}).items() if k.startswith("contender")})

    if keep_metadata and changed.equals(before):
        assert lake.latest(settings, engine, "spy").table.equals(kept), "another file of the same content is the same"
        return
    with pytest.raises(IntegrityError, match=r"train\.parquet does not hold .*python -m features --task spy") as caught:
        lake.latest(settings, engine, "spy")

    assert exit_code(caught.value) == 43
    assert run_at(settings, spy) == first
    assert lake.latest(settings, engine, "spy").table.equals(kept)


def test_the_file_of_another_dataset_is_refused(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    first = run_at(settings, spy)
    put(engine, gspc, series="SPY")
    second = run_at(settings, spy)
    folder = settings.lake / "spy"
    for name in (lake.TRAIN, lake.PREDICT):
        (folder / second.data_hash / name).write_bytes((folder / first.data_hash / name).read_bytes())

    with pytest.raises(IntegrityError, match="does not hold what the features job wrote"):
        lake.latest(settings, engine, "spy")


def test_a_task_file_changed_since_the_features_job_is_not_trained_on_the_old_features(
    settings: Settings, engine: sa.Engine, spy: Task, gspc: list[Observation]
) -> None:
    put(engine, gspc)
    run_at(settings, spy)
    changed = spy.model_copy(update={"features": (*spy.features, Feature(transform="month"))})

    with pytest.raises(NotFoundError, match=r"than its file declares now.*python -m features --task spy") as caught:
        train.run(settings, changed, FixedClock(NOW))

    assert exit_code(caught.value) == 42
    run_at(settings, changed)
    assert lake.current(settings, engine, changed, NOW).feature_names[-1] == "month"
