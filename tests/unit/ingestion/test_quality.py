import random
from datetime import UTC, date, datetime, timedelta, timezone
from math import inf, nan
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.task_files import load_task
from core.errors import DataRefusedError
from core.jobs.calendars import expected_dates, final_at
from ingestion import quality
from ingestion.quality import check, gaps, require_same_scale
from ingestion.sources.base import RawRow
from ingestion.store.observations import Observation
from tests.support.paths import TASKS

SPY = load_task(TASKS, "spy")
AIRLINE = load_task(TASKS, "airline")
NOW = datetime(2024, 7, 20, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
DAYS = expected_dates(SPY, date(2024, 6, 3), date(2024, 7, 19))
GOOD = {"open": 100.0, "high": 102.0, "low": 99.0, "close": 101.0, "volume": 1e6, "dividend": 0.0, "split": 1.0}


def rows(*faults: RawRow) -> list[RawRow]:
    """Good bars on every session of seven weeks, but those that `faults` stand for."""
    dates = {fault.stamp for fault in faults}
    return [RawRow(day, GOOD) for day in DAYS if day not in dates] + list(faults)


def bar(day: date | datetime | None, **changes: float) -> RawRow:
    return RawRow(day, GOOD | changes)


def test_good_bars_pass_and_are_known_three_hours_after_their_close() -> None:
    checked = check(SPY, rows(), NOW)

    assert [observation.event_date for observation in checked.accepted] == DAYS
    assert checked.accepted[0].known_at == datetime(2024, 6, 3, 23, tzinfo=UTC)
    assert checked.quarantined == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"close": nan}, "close: not a finite number"),
        ({"open": nan, "close": nan}, "open, close: not a finite number"),
        ({"high": inf}, "high: not a finite number"),
        ({"volume": nan}, "volume: not a finite number"),
        ({"close": 1e300}, "close: beyond 1e+100"),
        ({"low": 0.0}, "a price of zero or less"),
        ({"close": -101.0}, "a price of zero or less"),
        ({"high": 98.0}, "its high is below its low"),
        ({"open": 103.0}, "its open is outside the day's range"),
        ({"close": 98.0}, "its close is outside the day's range"),
        ({"volume": -1.0}, "a volume below zero"),
        ({"dividend": -0.5}, "a dividend below zero"),
        ({"split": 0.0}, "a split ratio of zero or less"),
    ],
)
def test_a_bar_with_impossible_values_is_quarantined_with_the_reason_and_the_rest_pass(
    changes: dict[str, float], reason: str
) -> None:
    checked = check(SPY, rows(bar(DAYS[5], **changes)), NOW)

    assert [(fault.event_date, fault.reason) for fault in checked.quarantined] == [(DAYS[5], reason)]
    assert [observation.event_date for observation in checked.accepted] == DAYS[:5] + DAYS[6:]


def test_a_close_that_leaves_the_range_by_rounding_passes() -> None:
    assert check(SPY, rows(bar(DAYS[5], close=102.04)), NOW).quarantined == ()


@pytest.mark.parametrize("day", [date(2024, 7, 4), date(2024, 7, 6)])
def test_a_bar_on_a_holiday_or_a_saturday_is_quarantined(day: date) -> None:
    checked = check(SPY, [*rows(), bar(day)], NOW)

    assert [(fault.event_date, fault.reason) for fault in checked.quarantined] == [(day, quality.NO_SESSION)]
    assert len(checked.accepted) == len(DAYS)


def test_a_half_day_is_a_session_and_final_three_hours_after_its_early_close() -> None:
    half_day = date(2024, 7, 3)
    closed = datetime(2024, 7, 3, 17, tzinfo=UTC)

    before, after = (check(SPY, rows(), closed + timedelta(hours=hours)) for hours in (2, 3))

    assert (before.accepted[-1].event_date, after.accepted[-1].event_date) == (date(2024, 7, 2), half_day)


def test_bars_that_are_not_final_are_left_out_without_blame() -> None:
    during = datetime(2024, 7, 19, 18, tzinfo=UTC)

    checked = check(SPY, rows(bar(DAYS[-1], close=nan)), during)

    assert checked.accepted[-1].event_date == DAYS[-2]
    assert (checked.not_final, checked.quarantined) == (1, ())


def test_what_is_older_than_the_task_is_left_out() -> None:
    checked = check(SPY, [*rows(), bar(date(1998, 12, 31)), bar(date(1950, 1, 2))], NOW)

    assert (len(checked.accepted), checked.quarantined) == (len(DAYS), ())


def test_a_live_bar_beside_the_final_one_is_set_aside() -> None:
    live = bar(datetime(2024, 7, 18, 15, 59, 58, tzinfo=NEW_YORK), close=100.5)
    final = RawRow(datetime(2024, 7, 18, tzinfo=NEW_YORK), GOOD)
    others = [row for row in rows() if row.stamp != date(2024, 7, 18)]

    checked = check(SPY, [*others, live, final], NOW)

    assert [(fault.reason, fault.fields["close"]) for fault in checked.quarantined] == [(quality.LIVE, 100.5)]
    assert {o.event_date: o.fields["close"] for o in checked.accepted}[date(2024, 7, 18)] == 101.0


def test_of_two_equal_rows_one_is_kept_and_of_two_that_disagree_none() -> None:
    equal = check(SPY, [*rows(), bar(DAYS[3])], NOW)
    unlike = check(SPY, [*rows(), bar(DAYS[3], close=100.0)], NOW)

    assert [fault.reason for fault in equal.quarantined] == [quality.REPEATED]
    assert len(equal.accepted) == len(DAYS)
    assert [fault.reason for fault in unlike.quarantined] == [quality.CONFLICTING] * 2
    assert DAYS[3] not in [observation.event_date for observation in unlike.accepted]


def test_midnight_of_the_exchange_is_its_date_in_whatever_zone_it_is_written() -> None:
    midnight = datetime(2024, 6, 3, tzinfo=NEW_YORK)

    for stamp in (midnight, midnight.astimezone(UTC), midnight.astimezone(ZoneInfo("Asia/Tokyo"))):
        dates = [o.event_date for o in check(SPY, [*rows()[1:], bar(stamp)], NOW).accepted]
        assert dates[0] == date(2024, 6, 3)


def test_a_bar_stamped_within_its_session_belongs_to_it() -> None:
    opening = bar(datetime(2024, 6, 3, 13, 30, tzinfo=UTC))

    assert check(SPY, [*rows()[1:], opening], NOW).accepted[0].event_date == date(2024, 6, 3)


def test_dates_turned_into_midnights_of_utc_are_refused_altogether() -> None:
    shifted = [RawRow(datetime(day.year, day.month, day.day, tzinfo=UTC), GOOD) for day in DAYS]

    with pytest.raises(DataRefusedError, match="another time zone"):
        check(SPY, shifted, NOW)


@pytest.mark.parametrize("days", [-1, 1])
def test_dates_shifted_by_a_day_are_refused_altogether_though_four_in_five_are_sessions(days: int) -> None:
    shifted = [RawRow(day + timedelta(days=days), GOOD) for day in DAYS]

    with pytest.raises(DataRefusedError, match="the dates seem shifted"):
        check(SPY, shifted, NOW)


def test_an_empty_answer_is_refused_and_never_means_that_no_data_exist() -> None:
    with pytest.raises(DataRefusedError, match="sent no rows"):
        check(SPY, [], NOW)


def test_an_answer_without_a_field_is_refused_and_names_it() -> None:
    shapeless = [RawRow(day, {name: 1.0 for name in GOOD if name not in ("open", "volume")}) for day in DAYS]

    with pytest.raises(DataRefusedError, match="has no open, volume"):
        check(SPY, shapeless, NOW)


def test_an_answer_that_is_bad_for_the_most_part_is_refused_with_its_commonest_fault() -> None:
    with pytest.raises(DataRefusedError, match="close: not a finite number"):
        check(SPY, [bar(day, close=nan) for day in DAYS[:20]] + [bar(day) for day in DAYS[20:]][:10], NOW)


def test_a_split_whose_day_is_bad_is_refused_for_it_would_look_like_a_crash() -> None:
    bad_day = rows(bar(DAYS[5], close=nan, split=2.0))

    with pytest.raises(DataRefusedError, match="2:1 split on 2024-06-10"):
        check(SPY, bad_day, NOW)
    assert len(check(SPY, bad_day, NOW, stored=[DAYS[5]]).accepted) == len(DAYS) - 1


def test_a_row_whose_date_cannot_be_read_is_quarantined() -> None:
    assert [f.reason for f in check(SPY, [*rows(), bar(None)], NOW).quarantined] == [quality.NO_DATE]


@given(seed=st.integers(0, 2**32))
def test_the_order_of_the_rows_changes_nothing(seed: int) -> None:
    sent = [*rows(bar(DAYS[5], close=nan)), bar(date(2024, 7, 4)), bar(DAYS[7])]
    shuffled = random.Random(seed).sample(sent, len(sent))

    assert check(SPY, shuffled, NOW).accepted == check(SPY, sent, NOW).accepted


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*DAYS, date(2024, 7, 4), None]),
            st.sampled_from(["open", "high", "low", "close", "volume", "dividend", "split"]),
            st.floats(allow_nan=True, allow_infinity=True),
        ),
        max_size=8,
    )
)
def test_whatever_is_sent_only_final_finite_sessions_come_through_once_each(
    faults: list[tuple[date | None, str, float]],
) -> None:
    sent = rows() + [bar(day, **{name: value}) for day, name, value in faults]

    try:
        accepted = check(SPY, sent, NOW).accepted
    except DataRefusedError:
        return

    dates = [observation.event_date for observation in accepted]
    assert dates == sorted(set(dates))
    assert set(dates) <= set(DAYS)
    for observation in accepted:
        assert final_at(SPY, observation.event_date) == observation.known_at <= NOW
        assert all(abs(value) < inf for value in observation.fields.values())
        assert observation.fields["close"] > 0
        assert observation.fields["split"] > 0


def test_a_month_may_be_dated_by_any_of_its_days() -> None:
    sent = [RawRow(date(1950, 1, 31), {"value": 5.0}), RawRow(date(1950, 2, 1), {"value": 6.0})]

    checked = check(AIRLINE, sent, datetime(1960, 1, 1, tzinfo=timezone(timedelta(hours=9))))

    assert [(o.event_date, o.fields["value"]) for o in checked.accepted] == [
        (date(1950, 1, 1), 5.0),
        (date(1950, 2, 1), 6.0),
    ]


def test_a_gap_is_a_due_date_after_the_first_stored_one() -> None:
    stored = [day for day in DAYS[3:-2] if day != DAYS[9]]

    assert gaps(SPY, stored, DAYS[-1]) == (DAYS[9], *DAYS[-2:])
    assert gaps(SPY, [], DAYS[-1]) == ()


def test_prices_that_all_come_back_at_twice_the_height_are_refused() -> None:
    known = dict.fromkeys(DAYS, GOOD)
    doubled = [Observation(day, NOW, GOOD | {"close": 202.0}) for day in DAYS]

    with pytest.raises(DataRefusedError, match="2 times as high"):
        require_same_scale("SPY", known, doubled)


def test_single_restated_prices_and_small_corrections_everywhere_are_no_other_scale() -> None:
    known = dict.fromkeys(DAYS, GOOD)
    few = [Observation(day, NOW, GOOD | {"close": 202.0 if day in DAYS[:4] else 101.0}) for day in DAYS]
    small = [Observation(day, NOW, GOOD | {"close": 101.5}) for day in DAYS]

    require_same_scale("SPY", known, few)
    require_same_scale("SPY", known, small)
