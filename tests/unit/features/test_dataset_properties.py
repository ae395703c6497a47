"""What must hold for any market: dividends, splits, gaps, zero volumes and all."""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config.tasks import Task
from core.jobs import calendars
from features.dataset import build, features_hash, latest_row, lookback

AS_OF = datetime(2017, 1, 1, tzinfo=UTC)
FIRST, LAST = date(2015, 1, 5), date(2016, 12, 30)
PATIENTLY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Day:
    """What happens in one session of a made-up market."""

    move: float
    dividend: float
    split: float
    volume: float
    spread: float


DAYS = st.builds(
    Day,
    move=st.one_of(st.just(1.0), st.floats(0.8, 1.25)),
    dividend=st.sampled_from([0.0, 0.0, 0.37, 1.5]),
    split=st.sampled_from([1.0, 1.0, 2.0, 3.0, 0.5]),
    volume=st.integers(1, 10**10).map(float),
    spread=st.floats(0, 0.1),
)
HOLE, UNTRADED = "no bar", "no volume"


@st.composite
def markets(draw: st.DrawFn) -> list[Day | None]:
    """Up to forty sessions, of which some may lack a bar (None) or were not traded."""
    days: list[Day | None] = list(draw(st.integers(1, 40).flatmap(lambda n: st.lists(DAYS, min_size=n, max_size=n))))
    faults = st.dictionaries(st.integers(0, len(days) - 1), st.sampled_from([HOLE, UNTRADED]), max_size=2)
    for at, fault in draw(st.one_of(st.just({}), faults)).items():
        day = days[at]
        days[at] = None if fault == HOLE or day is None else replace(day, volume=0.0)
    return days


def observed(task: Task, days: Sequence[Day | None]) -> pl.DataFrame:
    rows, close = [], 100.0
    for date_, day in zip(calendars.expected_dates(task, FIRST, LAST), days, strict=False):
        if day is not None:
            close = close * day.move / day.split
            known_at = datetime.combine(date_, time(21), tzinfo=UTC)
            high, low = close * (1 + day.spread), close * (1 - day.spread)
            rows.append((date_, known_at, close, day.dividend, high, low, day.split, day.volume))
    names = ["close", "dividend", "high", "low", "split", "volume"]
    schema = {"event_date": pl.Date, "known_at": pl.Datetime("us", "UTC"), **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def table(task: Task, frame: pl.DataFrame) -> pl.DataFrame:
    return build(task, "S", "test", frame, AS_OF).table


@pytest.fixture(scope="module")
def task(declare: Callable[..., Task]) -> Task:
    """All transforms, with windows short enough to fit between two gaps."""
    windows = [("return", n) for n in (1, 2, 7)] + [(name, n) for name in ("ma_ratio", "volatility") for n in (2, 3, 8)]
    return declare(*windows, "range", "volume_change", "day_of_week", "month")


@PATIENTLY
@given(days=markets(), more=st.sampled_from([0, 1, 7, 40]))
def test_the_latest_row_is_builds_row_to_the_bit_at_every_prefix_and_from_any_tail(
    task: Task, days: list[Day | None], more: int
) -> None:
    frame = observed(task, days)
    names = table(task, frame).columns[2:-2]
    built = {row["event_date"]: row for row in table(task, frame).to_dicts()}

    for length in range(1, len(frame) + 1):
        prefix = frame[:length]
        row = latest_row(task, prefix.tail(lookback(task) + more))
        expected = built.get(prefix["event_date"][-1])

        assert (row is None) == (expected is None)
        if row is not None and expected is not None:
            assert (row.event_date, row.target_date) == (expected["event_date"], expected["target_date"])
            assert row.features_hash == features_hash({name: expected[name] for name in names})


def test_neither_a_crash_nor_a_long_history_before_the_window_reaches_into_it(spy: Task) -> None:
    """Running sums and global products would carry the rounding of what left the window: here from a thousandfold."""
    chance = random.Random(7)
    moves = [chance.uniform(0.9, 1.1) for _ in range(400)]
    moves[100], moves[150] = 1000.0, 0.001
    frame = observed(spy, [Day(move, 0.01, 1.0, chance.uniform(1, 1e9), 0.01) for move in moves])
    built = table(spy, frame)

    for length in range(21, 401, 7):
        row = latest_row(spy, frame[:length].tail(21))
        assert row is not None
        assert tuple(row.features.values()) == built.row(length - 21)[2:-2]


@PATIENTLY
@given(data=st.data())
def test_whatever_happens_later_changes_nothing_at_or_before_a_date(task: Task, data: st.DataObject) -> None:
    past = data.draw(markets())
    present = len(past) - 1
    frame, other = (observed(task, past + data.draw(markets())) for _ in range(2))
    today = calendars.expected_dates(task, FIRST, LAST)[present]

    rows, others = table(task, frame), table(task, other)

    features = rows.columns[:-2]
    assert rows.filter(pl.col("event_date") <= today)[features].equals(
        others.filter(pl.col("event_date") <= today)[features]
    )
    assert rows.filter(pl.col("target_date") <= today).equals(others.filter(pl.col("target_date") <= today))


@PATIENTLY
@given(days=markets(), poison=st.sampled_from([0.0, 1e300, -1.0, math.nan, math.inf]))
def test_even_poison_in_the_future_moves_nothing_before_it(task: Task, days: list[Day | None], poison: float) -> None:
    frame = observed(task, days)
    cut = len(frame) // 2
    raw = frame.columns[2:]
    poisoned = pl.concat([frame[:cut], frame[cut:].with_columns(pl.lit(poison).alias(name) for name in raw)])
    before = pl.col("target_date") < (frame["event_date"][cut] if cut < len(frame) else LAST)

    rows, others = table(task, frame), table(task, poisoned)

    assert rows.filter(before).equals(others.filter(before))
    assert others.select(pl.all_horizontal(pl.col(others.columns[2:-2]).is_finite().all())).item() or others.is_empty()


@PATIENTLY
@given(days=markets())
def test_every_feature_and_label_is_what_a_shareholder_would_reckon(task: Task, days: list[Day | None]) -> None:
    """An independent oracle: hold one share through the window, reinvest every dividend, look at the wealth."""
    frame = observed(task, days)
    bars = {bar["event_date"]: bar for bar in frame.to_dicts()}
    rows = {row["event_date"]: row for row in table(task, frame).to_dicts()}
    dates = calendars.expected_dates(task, FIRST, LAST)

    for at, day in enumerate(dates[: len(days)]):
        window = [bars.get(earlier) for earlier in dates[max(0, at - 8) : at + 1]]
        expected = reckoned(window, day, dates[at + 1])
        assert (expected is None) == (day not in rows)
        if expected is not None:
            known = {name: rows[day][name] for name in expected}
            assert known == pytest.approx(expected, rel=1e-9, abs=1e-12)
            assert rows[day]["label"] == outcome(bars[day], bars.get(dates[at + 1]))


def reckoned(window: list[dict[str, float] | None], day: date, target: date) -> dict[str, float] | None:
    bars = [bar for bar in window if bar is not None]
    if len(bars) < 9 or len(window) != len(bars):
        return None
    today, yesterday = bars[-1], bars[-2]
    if not (today["volume"] and yesterday["volume"]):
        return None
    shares, wealth = 1.0, [bars[0]["close"]]
    for bar in bars[1:]:
        shares = shares * bar["split"]
        shares += shares * bar["dividend"] / bar["close"]
        wealth.append(shares * bar["close"])
    returns = [after / before - 1 for before, after in pairwise(wealth)]
    shares_traded = today["volume"] / today["split"]
    return {
        **{f"return_{n}": wealth[-1] / wealth[-1 - n] - 1 for n in (1, 2, 7)},
        **{f"ma_ratio_{n}": wealth[-1] / statistics.fmean(wealth[-n:]) - 1 for n in (2, 3, 8)},
        **{f"volatility_{n}": statistics.stdev(returns[-n:]) for n in (2, 3, 8)},
        "range": (today["high"] - today["low"]) / today["close"],
        "volume_change": math.log(shares_traded) - math.log(yesterday["volume"]),
        "day_of_week": (day - date(2015, 1, 5)).days % 7,
        "month": target.month,
    }


def outcome(today: dict[str, float], tomorrow: dict[str, float] | None) -> float | None:
    if tomorrow is None:
        return None
    worth = tomorrow["split"] * (tomorrow["close"] + tomorrow["dividend"])
    return 1.0 if worth / today["close"] > 1 else 0.0
