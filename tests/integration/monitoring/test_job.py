"""What the monitor job finds: old data, nobody champion, answers that came true or did not."""

import math
import uuid
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.db.pipeline_tables import predictions
from core.jobs.clock import FixedClock
from monitoring import job
from tests.support.stage import Stage, known, month, restate, wave
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_registry, engine)


def crown(stage: Stage, version: int, at: datetime) -> None:
    move = ledger.new_move(stage.task.name, CHAMPION, None, version, who="test", why="test")
    with stage.engine.begin() as connection:
        ledger.write(connection, "confirmed", move, at)


def answer(stage: Stage, index: int, value: float, *, version: int = 1, late: bool = False) -> None:
    """The API answered for a month: before its value was known, or (late) after."""
    made_at = known(index) + timedelta(days=1 if late else -1)
    with stage.engine.begin() as connection:
        connection.execute(
            sa.insert(predictions).values(
                id=uuid.uuid4(), task=stage.task.name, series=stage.task.series, contender="ridge", version=version,
                alias=CHAMPION, event_date=month(index - 1), target_date=month(index), value=value, threshold=None,
                prediction=str(value), features_hash="", data_hash="", stale=False, made_at=made_at,
            )
        )  # fmt: skip


def look(stage: Stage, index: int, later: int = 0) -> job.MonitorReport:
    return job.run(stage.settings, stage.task, FixedClock(known(index) + timedelta(days=later)))


def test_before_any_data_it_says_so(stage: Stage) -> None:
    assert look(stage, 1).sentence() == (
        "no_data: no data; no champion; none of its predictions has a label yet (n=0 of at least 60)"
    )


def test_without_a_champion_and_with_old_data_it_says_what_a_person_should_see_to(stage: Stage) -> None:
    stage.put(wave(24))

    assert look(stage, 23).state == "no_champion"
    crown(stage, 1, known(23))
    found = look(stage, 23, later=30)
    assert (found.state, found.newest, found.age_days) == ("stale", month(23), 61)
    assert "data up to 2001-12-01, 61 days old; version 1 is champion" in found.sentence()


def test_served_predictions_are_compared_with_the_labels_and_with_the_baseline(stage: Stage) -> None:
    stage.task = stage.task.model_copy(update={"stale_after_days": 1000})
    values = wave(job.ENOUGH + 14)
    stage.put(values)
    stage.train()
    crown(stage, 1, known(13))
    for index in range(14, 14 + job.ENOUGH - 1):
        answer(stage, index, values[index] + 1.0)
    last = 14 + job.ENOUGH - 1

    answer(stage, last, values[last] + 500.0, late=True)
    answer(stage, last + 1, 0.0)
    few = look(stage, last)
    answer(stage, last, values[last] + 1.0)
    enough = look(stage, last)

    assert (few.state, few.served.n) == ("insufficient", job.ENOUGH - 1)
    assert (enough.state, enough.served.n) == ("ok", job.ENOUGH)
    assert enough.served.loss == pytest.approx(1.0)
    naive = [abs(values[index] - values[index - 1]) for index in range(14, last + 1)]
    assert enough.served.baseline_loss == pytest.approx(sum(naive) / len(naive))
    assert "mae of its predictions 1.0000, of the baseline" in enough.sentence()


def test_answers_that_lose_more_than_the_baseline_are_told_as_such(stage: Stage) -> None:
    stage.task = stage.task.model_copy(update={"stale_after_days": 1000})
    values = wave(job.ENOUGH + 14)
    stage.put(values)
    stage.train()
    crown(stage, 1, known(13))
    for index in range(14, 14 + job.ENOUGH):
        answer(stage, index, values[index] + 900.0)

    assert look(stage, 13 + job.ENOUGH).state == "worse_than_baseline"


def test_a_date_counts_once_by_the_version_that_answered_last_before_the_label(stage: Stage) -> None:
    values = wave(20)
    stage.put(values)
    stage.train()
    answer(stage, 15, values[15] + 9.0, version=1)
    answer(stage, 15, values[15] + 9.0, version=1)
    with_two = look(stage, 15).served
    later = known(15) - timedelta(hours=1)
    answer(stage, 15, values[15] + 2.0, version=2)
    with stage.engine.begin() as connection:
        connection.execute(sa.update(predictions).where(predictions.c.version == 2).values(made_at=later))

    assert (with_two.n, with_two.loss) == (1, pytest.approx(9.0))
    served = look(stage, 15).served
    assert (served.n, served.loss) == (1, pytest.approx(2.0))


def test_an_answer_that_came_after_the_label_does_not_count_though_the_label_was_restated_later(stage: Stage) -> None:
    values = wave(20)
    stage.put(values)
    stage.train()
    answer(stage, 15, values[15], late=True)
    restate(stage, 15, values[15] + 7.0)
    stage.train()

    assert look(stage, 19).served.n == 0


def test_what_is_no_number_is_no_answer(stage: Stage) -> None:
    values = wave(20)
    stage.put(values)
    stage.train()
    answer(stage, 15, values[15] + 2.0)
    answer(stage, 16, math.nan)

    served = look(stage, 19).served
    assert (served.n, served.loss) == (1, pytest.approx(2.0))
