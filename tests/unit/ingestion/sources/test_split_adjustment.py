from datetime import date, timedelta
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import DataRefusedError
from ingestion.sources.base import PRICES, RawRow
from ingestion.sources.split_adjustment import undo

FIRST = date(2020, 1, 1)


def raw_row(index: int, close: float, dividend: float = 0.0, split: float = 1.0) -> RawRow:
    prices = dict.fromkeys(PRICES, close)
    return RawRow(FIRST + timedelta(days=index), prices | {"volume": 1e6 / close, "dividend": dividend, "split": split})


def adjusted(raw: list[RawRow]) -> list[RawRow]:
    """As Yahoo shows it: each value divided by the splits of all later days, one day at a time."""
    shown = []
    for index, row in enumerate(raw):
        fields = dict(row.fields)
        for later in raw[index + 1 :]:
            for name in (*PRICES, "dividend"):
                fields[name] /= later.fields["split"]
            fields["volume"] *= later.fields["split"]
        shown.append(RawRow(row.stamp, fields))
    return shown


@given(
    st.lists(
        st.tuples(
            st.floats(0.9, 1.1),  # the day's move, without the split
            st.sampled_from([0.0, 0.0, 1.25]),
            st.sampled_from([1.0, 1.0, 1.0, 2.0, 3.0, 1.5, 0.1, 1.05]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_undoing_what_yahoo_does_for_splits_gives_back_what_was_paid(days: list[tuple[float, float, float]]) -> None:
    raw, price = [], 100.0
    for index, (move, dividend, split) in enumerate(days):
        price = price * move / split
        raw.append(raw_row(index, price, dividend, split))

    given_back = undo(adjusted(raw))

    assert [row.stamp for row in given_back] == [row.stamp for row in raw]
    for ours, paid in zip(given_back, raw, strict=True):
        assert ours.fields == pytest.approx(paid.fields, rel=1e-9)


def test_a_dividend_on_the_day_of_a_split_is_per_new_share() -> None:
    raw = [raw_row(0, 100.0, dividend=2.0), raw_row(1, 50.0, dividend=1.0, split=2.0), raw_row(2, 51.0)]

    shown = adjusted(raw)

    assert [row.fields["dividend"] for row in shown] == [1.0, 1.0, 0.0]
    assert [row.fields["dividend"] for row in undo(shown)] == [2.0, 1.0, 0.0]


def test_a_split_on_a_day_without_a_price_still_counts() -> None:
    shown = adjusted([raw_row(0, 100.0), raw_row(1, 50.0, split=2.0), raw_row(2, 51.0)])
    shown[1] = RawRow(shown[1].stamp, shown[1].fields | dict.fromkeys(PRICES, nan))

    assert undo(shown)[0].fields["close"] == 100.0


@pytest.mark.parametrize("split", [2.0, 3.0, 0.1])
def test_a_split_that_is_listed_but_not_applied_is_refused(split: float) -> None:
    not_applied = [raw_row(0, 100.0), raw_row(1, 100.0 / split, split=split)]

    with pytest.raises(DataRefusedError, match="listed on 2020-01-02, but the prices before it were not adjusted"):
        undo(not_applied)


def test_a_split_ratio_that_is_no_ratio_is_left_to_the_checks() -> None:
    odd = [raw_row(0, 100.0), raw_row(1, 100.0, split=0.0), raw_row(2, 100.0, split=nan)]

    assert undo(odd)[0].fields["close"] == 100.0
