"""The event logs of tasks with a stored source, on a real Postgres: every labelled row once, whatever happens."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

import features.job
from core.config.settings import Settings
from core.config.tasks import Contender, Feature
from core.db.event_tables import checkpoints as checkpoints_table
from core.errors import IntegrityError
from core.jobs.clock import FixedClock
from features import lake
from features.dataset import Dataset
from tests.support.stage import SERIES, Stage, a_task, known, logged, month, restate, wave
from training import train
from training.backtest import state as walk_state
from training.backtest.replay import replay_log
from training.backtest.walk_forward import walk, walk_all
from training.evaluation import predictions
from training.event_log import dataset_log
from training.event_log import store as event_log
from training.learners import factory
from training.learners.checkpoints import KEPT
from training.models.base import serialize
from training.train import TrainReport

MONTHS = 40
LEARNING = ("naive", "linear")


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Stage:
    """Nothing is scored on it, so no pictures are drawn, which would take most of the time."""
    return Stage(settings_with_registry, engine, a_task(scored_from=1000))


def dataset(stage: Stage) -> Dataset:
    return lake.current(stage.settings, stage.engine, stage.task, stage.clock.now())


def ids(stage: Stage) -> list[tuple[int, str]]:
    return [(row.seq, row.event_id) for row in logged(stage)]


def expected_ids(months: int) -> list[tuple[int, str]]:
    """Three lags are needed, so the first label is the fourth month's."""
    return [(i - 2, str(month(i))) for i in range(3, months)]


def stored(stage: Stage, contender: str) -> list[int]:
    """The events after which the contender has a checkpoint."""
    key = factory.stored_learner_key(stage.task, SERIES, contender)
    with stage.engine.connect() as connection:
        mine = [checkpoints_table.c[name] == value for name, value in vars(key).items()]
        statement = sa.select(checkpoints_table.c.last_seq).where(*mine).order_by(checkpoints_table.c.last_seq)
        return list(connection.execute(statement).scalars())


def said(stage: Stage, contender: str) -> pl.DataFrame:
    board = predictions.scoreboard(stage.engine, stage.task, SERIES).filter(pl.col("contender") == contender)
    return board.select("event_date", "target_date", "trained_through", "value")


def test_the_log_holds_each_labelled_row_in_the_order_of_its_dates(stage: Stage) -> None:
    stage.put(wave(MONTHS))

    stage.train()

    table = dataset(stage).table
    rows = logged(stage)
    assert ids(stage) == expected_ids(MONTHS)
    assert {row.kind for row in rows} == {"row"}
    assert [row.target for row in rows] == table["label"].drop_nulls().to_list()
    assert [row.features for row in rows] == table.select("in_1", "in_2", "in_3").to_dicts()[:-1]
    assert {name: stored(stage, name) for name in stage.task.contenders} == {
        "naive": [len(rows)],
        "linear": [len(rows)],
        "ridge": [],
    }


def test_a_second_run_appends_what_is_new_and_reads_nothing_else(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    values = wave(MONTHS + 1)
    stage.put(values[:MONTHS])
    stage.train()
    stage.put(values[MONTHS:])
    begun: list[int] = []
    read = event_log.read

    def watched(connection: Any, key: event_log.LearnerKey, after: int, until: int) -> list[Any]:
        begun.append(after)
        return read(connection, key, after, until)

    monkeypatch.setattr(event_log, "read", watched)

    stage.train()

    assert ids(stage) == expected_ids(MONTHS + 1)
    assert begun == [MONTHS - 3] * len(LEARNING)
    assert stored(stage, "linear") == [MONTHS - 3, MONTHS - 2]


def test_of_many_nights_the_newest_checkpoints_are_kept(stage: Stage) -> None:
    values = wave(MONTHS + 5)
    stage.put(values[:MONTHS])
    stage.train()
    for value in values[MONTHS:]:
        stage.put([value])
        stage.train()

    newest = MONTHS + 5 - 3
    assert stored(stage, "linear") == list(range(newest - KEPT + 1, newest + 1))


def test_nights_give_what_one_walk_over_all_rows_gives_to_the_bit(stage: Stage) -> None:
    values = wave(MONTHS)
    stage.put(values[:20])
    stage.train()
    for first in (20, 21, 30):
        stage.put(values[first : {20: 21, 21: 30, 30: MONTHS}[first]])
        stage.train()

    for name in stage.task.contenders:
        whole = walk(stage.task, name, dataset(stage), None)
        assert said(stage, name).equals(whole.predictions)


def test_what_a_learner_said_of_an_event_is_its_prediction_of_that_date(stage: Stage) -> None:
    stage.put(wave(MONTHS))
    stage.train()

    statement = sa.text("SELECT value FROM event_predictions WHERE log = :log AND contender = 'linear' ORDER BY seq")
    with stage.engine.connect() as connection:
        of_events = list(connection.execute(statement, {"log": dataset_log.name(stage.task, SERIES)}).scalars())

    assert of_events == said(stage, "linear")["value"].drop_nulls().to_list()[:-1]


def test_killed_between_two_groups_and_run_again_each_row_is_there_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put(wave(MONTHS))
    monkeypatch.setattr(dataset_log, "GROUP", 10)
    append, calls = event_log.append, [0]

    def dying(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return append(*arguments)

    monkeypatch.setattr(event_log, "append", dying)
    with pytest.raises(KeyboardInterrupt):
        stage.train()
    assert len(ids(stage)) == 20

    stage.train()

    assert ids(stage) == expected_ids(MONTHS)
    assert said(stage, "linear").equals(walk(stage.task, "linear", dataset(stage), None).predictions)


def test_a_restated_value_changes_nothing_in_the_log_and_nothing_that_was_learned(stage: Stage) -> None:
    stage.put(wave(MONTHS))
    stage.train()
    before, predicted = logged(stage), said(stage, "linear")
    restate(stage, 20, 500.0)

    report = stage.train()

    assert report.labels.restated == 1
    assert logged(stage) == before
    assert said(stage, "linear").equals(predicted)
    assert stored(stage, "linear") == [MONTHS - 3]


def test_a_value_that_enters_the_past_later_is_not_learned(stage: Stage) -> None:
    values = wave(MONTHS)
    stage.put(values[:20])
    stage.months += 1  # the month 20 is left out
    stage.put(values[21:30])
    stage.train()
    before = ids(stage)
    restate(stage, 20, values[20])

    stage.train()

    assert str(month(20)) not in dict(before).values()
    assert ids(stage) == before


def test_rows_of_other_features_are_another_log(stage: Stage) -> None:
    stage.put(wave(MONTHS))
    stage.train()
    first, old = dataset_log.name(stage.task, SERIES), logged(stage)
    lags = tuple(Feature(transform="lag", parameters={"n": n}) for n in (1, 2))
    changed = Stage(stage.settings, stage.engine, stage.task.model_copy(update={"features": lags}), stage.months)
    features.job.run(changed.settings, changed.task, changed.clock)

    changed.train()

    assert dataset_log.name(changed.task, SERIES) != first
    assert logged(stage) == old
    assert [set(row.features) for row in logged(changed)] == [{"in_1", "in_2"}] * (MONTHS - 2)
    assert said(changed, "linear").equals(walk(changed.task, "linear", dataset(changed), None).predictions)


def test_a_contender_that_comes_later_learns_the_log_from_its_beginning(stage: Stage) -> None:
    stage.put(wave(MONTHS))
    stage.train()
    contenders = {**stage.task.contenders, "mean": Contender(kind="baseline", procedure="base_rate")}
    stage.task = stage.task.model_copy(update={"contenders": contenders})

    report = stage.train()

    assert (report.predictions, report.rebuilt) == (MONTHS - 2, ())
    assert said(stage, "mean").equals(walk(stage.task, "mean", dataset(stage), None).predictions)


def train_as_of(stage: Stage, months: int) -> TrainReport:
    return train.run(stage.settings, stage.task, FixedClock(known(months) + timedelta(days=1)))


def test_as_of_an_earlier_date_nothing_later_is_learned(stage: Stage) -> None:
    values = wave(MONTHS)
    stage.put(values[:30])
    stage.train()
    stage.put(values[30:])
    stage.train()
    contenders = {**stage.task.contenders, "mean": Contender(kind="baseline", procedure="base_rate")}
    stage.task = stage.task.model_copy(update={"contenders": contenders})

    then = train_as_of(stage, 30)
    now = stage.train()

    assert (then.predictions, now.predictions) == (30 - 2, MONTHS - 30)
    assert said(stage, "mean").equals(walk(stage.task, "mean", dataset(stage), None).predictions)


def written_by_others(stage: Stage) -> None:
    """Every learner's checkpoint is one of another environment."""
    with stage.engine.begin() as connection:
        connection.execute(sa.update(checkpoints_table).values(stamp="python 2.7", state=b"no pickle of ours"))


def test_a_checkpoint_of_other_libraries_is_rebuilt_from_the_log(stage: Stage) -> None:
    values = wave(MONTHS + 1)
    stage.put(values[:MONTHS])
    stage.train()
    restate(stage, 20, 500.0)  # the dataset is no longer what was learned; the log is
    written_by_others(stage)
    stage.put(values[MONTHS:])

    report = stage.train()

    assert report.rebuilt == ("linear", "naive")
    assert report.predictions == 3
    with closing(event_log.PinnedConnection(stage.engine)) as line:
        replay = replay_log(stage.engine, line, stage.task, SERIES, "linear", None, has_walked=True)
    assert not replay.is_rebuilt
    assert (replay.learner.rows_learned, replay.learned_through) == (MONTHS - 2, month(MONTHS))


def test_a_learner_whose_replay_says_something_else_is_not_used(stage: Stage) -> None:
    stage.put(wave(MONTHS))
    stage.train()
    written_by_others(stage)
    with stage.engine.begin() as connection:
        connection.execute(sa.text("UPDATE prediction_blocks SET said[31 - first_seq] = 1.0"))
    stage.months += 1
    restate(stage, 39, 101.0)

    with pytest.raises(IntegrityError, match="rebuilt by replay"):
        stage.train()


def test_models_that_were_kept_before_there_was_a_log_begin_anew_from_it(stage: Stage) -> None:
    values = wave(MONTHS + 1)
    stage.put(values[:MONTHS])
    with stage.engine.begin() as connection:
        walks = walk_all(stage.task, dataset(stage), dict.fromkeys(stage.task.contenders))
        for name, walked in walks.items():
            predictions.record(connection, stage.task, SERIES, name, walked.predictions, known(1))
            bare = replace(walked.state, model=serialize(walked.model))
            walk_state.write(connection, stage.task, SERIES, name, bare)
    before = {name: said(stage, name) for name in stage.task.contenders}

    report = stage.train()

    assert (report.predictions, report.rebuilt) == (0, ("linear", "naive"))
    assert ids(stage) == expected_ids(MONTHS)
    assert {name: said(stage, name) for name in stage.task.contenders}.keys() == before.keys()
    assert all(said(stage, name).equals(before[name]) for name in before)
    stage.put(values[MONTHS:])
    assert stage.train().predictions == 3
    for name in stage.task.contenders:
        assert said(stage, name).equals(walk(stage.task, name, dataset(stage), None).predictions)
