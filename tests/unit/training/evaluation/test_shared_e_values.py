"""What the evidence of several challengers for one title is worth: closed testing with averaged e-values."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation.e_values import shared

BLOCKS = st.sampled_from([1, 5, 8, 13])
METRICS = st.sampled_from(["brier", "mae"])

E_VALUES = st.dictionaries(
    st.sampled_from("abcdefg"), st.one_of(st.floats(0, 100), st.floats(0, 1e12)), min_size=1, max_size=7
)


@given(E_VALUES)
def test_what_is_shared_is_the_smallest_mean_of_any_set_that_holds_the_challenger(e_values: dict[str, float]) -> None:
    worth = shared(e_values)

    for name, own in e_values.items():
        rivals = [value for rival, value in e_values.items() if rival != name]
        means = [
            (own + sum(others)) / (1 + size) for size in range(len(e_values)) for others in combinations(rivals, size)
        ]
        assert worth[name] == pytest.approx(min(means), rel=1e-12)


@given(E_VALUES)
def test_what_is_shared_is_between_an_equal_part_and_the_whole(e_values: dict[str, float]) -> None:
    worth = shared(e_values)

    assert worth.keys() == e_values.keys()
    for name, own in e_values.items():
        assert own / len(e_values) <= worth[name] <= own


@given(E_VALUES)
def test_who_has_more_evidence_has_no_smaller_share(e_values: dict[str, float]) -> None:
    worth = shared(e_values)

    ranked = [worth[name] for name in sorted(e_values, key=lambda name: e_values[name])]
    assert ranked == pytest.approx(sorted(ranked), rel=1e-12)


def test_one_alone_has_its_evidence_whole() -> None:
    assert shared({"only": 21.0}) == {"only": 21.0}
    assert shared({}) == {}
