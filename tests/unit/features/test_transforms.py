import math
from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

from core.config.tasks import Feature, Task
from core.errors import ConfigurationError
from features.calendar_frame import lay_out
from features.transforms import TRANSFORMS, columns

Make = Callable[..., pl.DataFrame]
Declare = Callable[..., Task]


def computed(task: Task, frame: pl.DataFrame) -> list[float | None]:
    (column,) = columns(task)
    return column.compute(task, lay_out(task, frame)).to_list()


def test_columns_are_named_by_their_parameters_and_stand_in_the_order_of_the_file(spy: Task, airline: Task) -> None:
    assert [column.name for column in columns(spy)] == [
        "return_1",
        "return_2",
        "return_3",
        "return_5",
        "ma_ratio_3",
        "ma_ratio_5",
        "ma_ratio_20",
        "volatility_3",
        "volatility_20",
        "range",
        "volume_change",
        "day_of_week",
    ]
    assert [column.name for column in columns(airline)] == [*(f"in_{n}" for n in range(1, 13)), "month"]


@pytest.mark.parametrize(
    ("feature", "lookback"),
    [
        (("return", 1), 2),
        (("return", 5), 6),
        (("ma_ratio", 20), 20),
        (("volatility", 20), 21),
        ("range", 1),
        ("volume_change", 2),
        ("day_of_week", 1),
        ("month", 1),
    ],
)
def test_the_lookback_is_exactly_the_history_that_a_value_needs(
    declare: Declare, bars: Make, feature: str | tuple[str, int], lookback: int
) -> None:
    task = declare(feature)
    frame = bars([100.0 + i for i in range(lookback)])

    values = computed(task, frame)

    assert columns(task)[0].lookback == lookback
    assert values[:-1] == [None] * (lookback - 1)
    assert values[-1] is not None


def test_the_lookback_of_a_lag_is_exactly_the_history_that_it_needs(airline: Task, months: Make) -> None:
    task = airline.model_copy(update={"features": (Feature(transform="lag", parameters={"n": 12}),)})

    values = computed(task, months([float(i) for i in range(12)]))

    assert columns(task)[0].lookback == 12
    assert values == [None] * 11 + [0.0]


def test_a_return_counts_the_dividend_and_the_split(declare: Declare, bars: Make) -> None:
    frame = bars([100.0, 102.0, 50.0, 51.0], dividend=[0.0, 1.0, 0.0, 0.0], split=[1.0, 1.0, 2.0, 1.0])

    daily = computed(declare(("return", 1)), frame)
    overall = computed(declare(("return", 3)), frame)

    assert daily == [None, 103.0 / 100.0 - 1.0, 2.0 * 50.0 / 102.0 - 1.0, 51.0 / 50.0 - 1.0]
    assert overall[3] == pytest.approx(1.03 * (100 / 102) * 1.02 - 1, rel=1e-12)


def test_a_moving_average_ratio_is_the_close_over_its_mean_minus_one(declare: Declare, bars: Make) -> None:
    values = computed(declare(("ma_ratio", 3)), bars([100.0, 110.0, 120.0, 90.0]))

    assert values[:2] == [None, None]
    assert values[2:] == pytest.approx([120 / 110 - 1, 90 / (320 / 3) - 1], rel=1e-12)


def test_a_split_leaves_every_adjusted_feature_as_it_was(declare: Declare, bars: Make) -> None:
    whole = bars([100.0, 110.0, 120.0, 90.0], volume=[1000.0, 1100.0, 900.0, 800.0])
    halved = bars([100.0, 110.0, 60.0, 45.0], volume=[1000.0, 1100.0, 1800.0, 1600.0], split=[1.0, 1.0, 2.0, 1.0])

    for feature in (("return", 2), ("ma_ratio", 3), ("volatility", 3), "volume_change", "range"):
        before, after = (computed(declare(feature), frame)[-1] for frame in (whole, halved))
        assert before is not None
        assert after == pytest.approx(before, rel=1e-12)


def test_volatility_is_the_sample_standard_deviation_of_returns(declare: Declare, bars: Make) -> None:
    values = computed(declare(("volatility", 2)), bars([100.0, 110.0, 99.0]))

    assert values == [None, None, pytest.approx(math.sqrt(0.02), rel=1e-12)]


def test_the_range_is_high_minus_low_over_close(declare: Declare, bars: Make) -> None:
    assert computed(declare("range"), bars([100.0], high=[104.0], low=[98.0])) == [0.06]


@pytest.mark.parametrize("volumes", [[0.0, 1000.0], [1000.0, 0.0], [0.0, 0.0]])
def test_a_volume_of_zero_has_no_change(declare: Declare, bars: Make, volumes: list[float]) -> None:
    value = computed(declare("volume_change"), bars([100.0, 101.0], volume=volumes))[1]

    assert value is None or not math.isfinite(value)


def test_monday_is_zero_and_friday_four(declare: Declare, bars: Make) -> None:
    assert computed(declare("day_of_week"), bars([100.0] * 5, first=date(2015, 1, 5))) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_the_month_is_that_of_the_target(airline: Task, months: Make) -> None:
    task = airline.model_copy(update={"features": (Feature(transform="month"),)})

    assert computed(task, months([1.0] * 12))[-2:] == [12.0, 1.0]


def test_returns_work_on_a_series_of_plain_values(airline: Task, months: Make) -> None:
    task = airline.model_copy(update={"features": (Feature(transform="return", parameters={"n": 1}),)})

    assert computed(task, months([100.0, 110.0, 0.0, 50.0])) == [None, 110.0 / 100.0 - 1.0, None, None]


@pytest.mark.parametrize("feature", ["retrun", ("momentum", 3)])
def test_an_unknown_transform_is_refused_by_name_with_the_known_ones(
    declare: Declare, feature: str | tuple[str, int]
) -> None:
    with pytest.raises(ConfigurationError) as error:
        columns(declare(feature))

    assert "spy" in str(error.value)
    assert (feature if isinstance(feature, str) else feature[0]) in error.value.problem
    assert all(name in error.value.remedy for name in TRANSFORMS)


@pytest.mark.parametrize(
    ("feature", "complaint"),
    [
        (Feature(transform="return"), "lacks its parameter n"),
        (Feature(transform="return", parameters={"days": 3}), "has no parameter days.*It takes n"),
        (Feature(transform="range", parameters={"n": 3}), "has no parameter n.*no parameters"),
        (Feature(transform="return", parameters={"n": 0}), "n = 0.*whole number from 1"),
        (Feature(transform="volatility", parameters={"n": 1}), "n = 1.*whole number from 2"),
        (Feature(transform="ma_ratio", parameters={"n": 2.5}), "n = 2.5"),
        (Feature(transform="ma_ratio", parameters={"n": True}), "n = True"),
        (Feature(transform="ma_ratio", parameters={"n": "3"}), "n = '3'"),
    ],
)
def test_a_parameter_that_cannot_work_is_refused_with_what_would(spy: Task, feature: Feature, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        columns(spy.model_copy(update={"features": (feature,)}))


def test_a_feature_declared_twice_is_refused(declare: Declare) -> None:
    with pytest.raises(ConfigurationError, match="return_2 more than once"):
        columns(declare(("return", 2), "range", ("return", 2)))


@pytest.mark.parametrize("feature", ["range", "volume_change"])
def test_a_feature_that_the_series_has_no_fields_for_says_what_is_missing(
    declare: Declare, airline: Task, months: Make, feature: str
) -> None:
    task = airline.model_copy(update={"features": declare(feature).features})

    with pytest.raises(ConfigurationError, match=f"{feature} of task airline .* they have value"):
        computed(task, months([1.0, 2.0]))


def test_bars_without_dividends_and_splits_are_not_taken_for_adjusted(declare: Declare, bars: Make) -> None:
    with pytest.raises(ConfigurationError, match="close, dividend and split"):
        computed(declare(("return", 1)), bars([100.0, 101.0]).drop("dividend"))
