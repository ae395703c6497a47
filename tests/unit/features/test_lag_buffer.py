"""The lags of a value are what came before it, and never the value itself."""

from hypothesis import given
from hypothesis import strategies as st

from features.lag_buffer import lags


@given(st.lists(st.floats(allow_nan=False)), st.integers(1, 30))
def test_lag_k_is_the_value_k_places_before(before: list[float], n_lags: int) -> None:
    features = lags(before, n_lags)

    assert list(features) == [f"in_{number}" for number in range(1, min(n_lags, len(before)) + 1)]
    assert list(features.values()) == before[::-1][:n_lags]
