"""Lag buffers on a real Postgres: the values before, to the bit, also when many add at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from core.errors import NotFoundError
from features.lag_buffer import LagBuffers, LaggedValue


def test_a_value_is_answered_with_those_before_it(engine: sa.Engine) -> None:
    buffers = LagBuffers(engine, 2)

    assert buffers.add("airline", 112) == LaggedValue({}, 112, 0)
    assert buffers.add("airline", 118) == LaggedValue({"in_1": 112}, 118, 1)
    assert buffers.add("airline", 132) == LaggedValue({"in_1": 118, "in_2": 112}, 132, 2)
    assert buffers.add("airline", 129) == LaggedValue({"in_1": 132, "in_2": 118}, 129, 2)
    assert buffers.add("other", 1) == LaggedValue({}, 1, 0)
    assert buffers.count() == 2


def test_more_lags_are_there_when_more_are_asked_for_later(engine: sa.Engine) -> None:
    few, many = LagBuffers(engine, 1), LagBuffers(engine, 1000)
    for value in range(1200):
        few.add("long", value)

    added = many.add("long", -1)

    assert added.available_lags == 1000
    assert list(added.features.values()) == list(range(1199, 199, -1))
    kept = few.series("long")
    assert (kept.count, kept.values) == (1201, [*range(201, 1200), -1])


def test_values_come_back_to_the_bit(engine: sa.Engine) -> None:
    values = [0.1 + 0.2, 5e-324, -1.7976931348623157e308, 1e22, 2**53 + 1.0, 1 / 3]
    buffers = LagBuffers(engine, 12)
    for value in values:
        buffers.add("exact", value)

    assert list(buffers.add("exact", 0).features.values()) == values[::-1]


def test_of_many_that_add_at_once_each_sees_those_before_it(engine: sa.Engine) -> None:
    def add(writer: int) -> list[LaggedValue]:
        return [LagBuffers(engine, 1000).add("shared", writer * 1000 + turn) for turn in range(50)]

    with ThreadPoolExecutor(6) as pool:
        added = [one for part in pool.map(add, range(6)) for one in part]

    order = LagBuffers(engine, 1).series("shared").values
    assert sorted(order) == sorted(one.target for one in added)
    for one in added:
        place = order.index(one.target)
        assert list(one.features.values()) == order[:place][::-1]


def test_an_unknown_series_is_told_as_such(engine: sa.Engine) -> None:
    with pytest.raises(NotFoundError, match="POST /add"):
        LagBuffers(engine, 1).series("nobody")
