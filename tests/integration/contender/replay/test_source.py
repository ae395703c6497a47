"""What a replay reads night by night is what the jobs would read anew: the stored series, and the dataset of it."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from contender.replay.source import StoredSource
from core.config.settings import Settings
from core.errors import NotFoundError
from core.jobs.clock import FixedClock
from features.dataset import Dataset
from features.incremental_dataset import IncrementalDataset
from features.job import assemble
from ingestion.store import observations
from ingestion.store.observations import ActiveSeries, Observation
from tests.support.stage import SERIES, Stage, known, month, wave

STANDING = ActiveSeries(SERIES, "airline")


@pytest.fixture
def stage(settings: Settings, engine: sa.Engine) -> Stage:
    stage = Stage(settings, engine)
    stage.put(wave(30))
    return stage


def add(stage: Stage, index: int, value: float, when: datetime) -> None:
    with stage.engine.begin() as connection:
        observations.record(connection, SERIES, "airline", [Observation(month(index), when, {"value": value})], when)


def anew(stage: Stage, now: datetime) -> Dataset:
    return assemble(stage.task, STANDING, observations.read_as_of(stage.engine, SERIES, now))


def same(one: Dataset, other: Dataset) -> bool:
    return one == other and one.table.equals(other.table)


def test_a_dataset_that_is_followed_equals_one_that_is_built_again_each_session(stage: Stage) -> None:
    followed = IncrementalDataset(stage.engine, stage.task, STANDING)

    for index in (5, 6, 7, 12, 12, 20):
        assert same(followed.as_of(known(index)), anew(stage, known(index)))


def test_a_restatement_and_a_mended_gap_are_followed_too(stage: Stage) -> None:
    followed = IncrementalDataset(stage.engine, stage.task, STANDING)
    add(stage, 33, 90.0, known(33))
    before = followed.as_of(known(33))
    add(stage, 3, 55.0, known(33) + timedelta(hours=1))
    add(stage, 31, 91.0, known(33) + timedelta(hours=2))

    assert same(followed.as_of(known(33) + timedelta(hours=1)), anew(stage, known(33) + timedelta(hours=1)))
    after = followed.as_of(known(34))

    assert same(after, anew(stage, known(34)))
    assert after.data_hash != before.data_hash


def test_a_gap_at_the_end_leaves_the_rows_that_are_there(stage: Stage) -> None:
    followed = IncrementalDataset(stage.engine, stage.task, STANDING)
    followed.as_of(known(29))

    for index in (31, 33, 34, 35, 36):  # rows need three months in a row: there is none until 35
        add(stage, index, 100.0 + index, known(index))
        assert same(followed.as_of(known(index)), anew(stage, known(index)))


def test_before_anything_was_known_there_is_no_dataset(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="Nothing was known"):
        IncrementalDataset(stage.engine, stage.task, STANDING).as_of(known(-3))


def test_a_stored_series_is_handed_over_as_it_was_known_then(stage: Stage) -> None:
    add(stage, 3, 55.0, known(20))
    values = wave(30)

    before = StoredSource(stage.engine, STANDING, FixedClock(known(19)), None).fetch(None)
    after = StoredSource(stage.engine, STANDING, FixedClock(known(20)), None).fetch(month(18))

    assert [(row.stamp, row.fields["value"]) for row in before] == [(month(i), values[i]) for i in range(20)]
    assert after[3].fields["value"] == 55.0
    assert len(after) == 21


def test_who_has_seen_the_sessions_before_is_handed_what_became_known_since_however_old(stage: Stage) -> None:
    add(stage, 3, 55.0, known(20))

    rows = StoredSource(stage.engine, STANDING, FixedClock(known(20)), known(19)).fetch(month(19))

    assert [(row.stamp, row.fields["value"]) for row in rows] == [
        (month(19), wave(30)[19]),
        (month(20), wave(30)[20]),
        (month(3), 55.0),
    ]
