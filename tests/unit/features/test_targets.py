from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from core.config.tasks import Target, Task
from core.errors import ConfigurationError
from features.calendar_frame import lay_out
from features.targets import label

Make = Callable[..., pl.DataFrame]


def labels(task: Task, frame: pl.DataFrame) -> pl.DataFrame:
    return label(task, lay_out(task, frame))


def test_a_rise_is_up_a_fall_is_down_and_a_tie_is_down(spy: Task, bars: Make) -> None:
    assert labels(spy, bars([100.0, 101.0, 100.0, 100.0]))["label"].to_list() == [1.0, 0.0, 0.0, None]


def test_the_sign_is_that_of_the_adjusted_return(spy: Task, bars: Make) -> None:
    frame = bars([100.0, 99.5, 50.0, 49.5], dividend=[0.0, 1.0, 0.0, 0.5], split=[1.0, 1.0, 2.0, 1.0])

    assert labels(spy, frame)["label"].to_list() == [1.0, 1.0, 0.0, None]


def test_a_label_is_known_when_its_targets_observation_was(spy: Task, bars: Make) -> None:
    frame = bars([100.0, 101.0, 102.0])

    assert labels(spy, frame)["label_known_at"].to_list() == [*frame["known_at"][1:], None]


def test_a_restated_base_makes_a_label_known_later(spy: Task, bars: Make) -> None:
    later = datetime(2016, 1, 1, tzinfo=UTC)
    frame = bars([100.0, 101.0, 102.0])
    restated = frame.with_columns(known_at=pl.Series([frame["known_at"][0], later, frame["known_at"][2]]))

    assert labels(spy, restated)["label_known_at"].to_list() == [later, later, None]


def test_where_the_next_session_is_missing_the_label_is_unknown_not_that_of_the_session_after(
    spy: Task, bars: Make
) -> None:
    frame = labels(spy, bars([100.0, 101.0, None, 103.0, 104.0]))

    assert frame["label"].to_list() == [1.0, None, None, 1.0, None]
    assert frame["label_known_at"].is_null().to_list() == [False, True, True, False, True]


def test_a_value_target_is_the_next_value(airline: Task, months: Make) -> None:
    frame = labels(airline, months([112.0, 118.0, 132.0]))

    assert frame["label"].to_list() == [118.0, 132.0, None]
    assert frame["label_known_at"][0] == datetime(2000, 3, 1, tzinfo=UTC)


def test_a_value_target_is_refused_on_raw_prices(spy: Task, bars: Make) -> None:
    task = spy.model_copy(update={"target": Target(kind="value")})

    with pytest.raises(ConfigurationError, match="target of task spy is a value"):
        labels(task, bars([100.0, 101.0]))
