"""Whether the evidence is what it says: a fair game by exact count, carried on to the bit, never shared unduly."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Floats
from training.evaluation import e_values
from training.evaluation.e_values import Evidence, Metric, bound, path

BLOCKS = st.sampled_from([1, 5, 8, 13])
METRICS = st.sampled_from(["brier", "mae"])


@st.composite
def rows(draw: st.DrawFn, largest: float = 10.0) -> tuple[Floats, Floats]:
    """Differences and their bounds; no bound is so small that another unit would make it zero."""
    bound_of_one = st.one_of(st.just(0.0), st.floats(1e-9, largest))
    bounds = np.array(draw(st.lists(bound_of_one, min_size=1, max_size=60)))
    shares = draw(st.lists(st.floats(-1, 1), min_size=len(bounds), max_size=len(bounds)))
    return bounds * np.array(shares), bounds


# Carried on


@given(rows(), BLOCKS, st.lists(st.integers(0, 60), max_size=8))
def test_rows_brought_in_pieces_leave_the_same_numbers_as_rows_brought_at_once(
    drawn: tuple[Floats, Floats], block: int, cuts: list[int]
) -> None:
    differences, bounds = drawn
    pieces = Evidence(block)

    for piece in zip(*(np.split(values, sorted(cuts)) for values in drawn), strict=True):
        pieces = pieces.after(*piece)

    assert pieces == Evidence(block).after(differences, bounds)


@given(st.integers(0, 2**32 - 1), BLOCKS, st.sampled_from([1, 7, 31, 100]))
def test_a_year_brought_by_the_night_the_week_or_the_month_is_the_year_to_the_bit(
    seed: int, block: int, nights: int
) -> None:
    random = np.random.default_rng(seed)
    bounds = random.lognormal(size=252)
    differences = bounds * random.uniform(-1, 1, size=252)

    carried = Evidence(block)
    for begin in range(0, 252, nights):
        carried = carried.after(differences[begin : begin + nights], bounds[begin : begin + nights])

    assert carried == Evidence(block).after(differences, bounds)


@given(rows(), BLOCKS)
def test_the_path_is_what_the_evidence_was_at_the_end_of_each_block(drawn: tuple[Floats, Floats], block: int) -> None:
    differences, bounds = drawn

    walked = path(differences, bounds, block)

    ends = range(block, len(bounds) + 1, block)
    assert walked == pytest.approx([Evidence(block).after(differences[:n], bounds[:n]).e_value for n in ends])


@given(st.integers(1, 4), BLOCKS)
def test_several_paths_at_once_are_the_single_ones(count: int, block: int) -> None:
    random = np.random.default_rng(count)
    bounds = random.lognormal(size=(count, 3, 97))
    differences = bounds * random.uniform(-1, 1, size=bounds.shape)

    walked = path(differences, bounds, block)

    assert walked.shape == (count, 3, 97 // block)
    for at in np.ndindex(count, 3):
        assert walked[at] == pytest.approx(path(differences[at], bounds[at], block), rel=1e-12)


def test_rows_that_wait_for_their_block_are_no_evidence_yet() -> None:
    four = Evidence(5).after(np.ones(4), np.ones(4))

    assert four.e_value == 1
    assert four.rows == 0
    assert four.after(np.ones(1), np.ones(1)).e_value > 1


# What it says


@given(rows(), st.sampled_from([1e-6, 0.3, 7.0, 1e6]), BLOCKS)
def test_the_unit_of_the_loss_does_not_matter(drawn: tuple[Floats, Floats], unit: float, block: int) -> None:
    differences, bounds = drawn

    plain, scaled = path(differences, bounds, block), path(unit * differences, unit * bounds, block)

    assert scaled == pytest.approx(plain, rel=1e-9)


def coins() -> tuple[Floats, Floats]:
    """600 labels, and the probability that each of them is 1."""
    random = np.random.default_rng(1)
    chances = random.uniform(0.02, 0.98, 600)
    return (random.uniform(size=600) < chances).astype(float), chances


def of(champion: Floats, challenger: Floats, labels: Floats, metric: Metric = "brier") -> float:
    differences = e_values.loss(metric, labels, champion) - e_values.loss(metric, labels, challenger)
    return Evidence(5).after(differences, bound(metric, champion, challenger)).e_value


@pytest.mark.parametrize("metric", ["brier", "mae"])
def test_a_better_challenger_wins_and_exchanged_it_loses(metric: Metric) -> None:
    labels, informed = coins()
    ignorant = np.full_like(informed, 0.5)

    assert of(ignorant, informed, labels, metric) > 20
    assert of(informed, ignorant, labels, metric) < 1


def test_an_inverted_metric_turns_the_evidence_round(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, informed = coins()
    ignorant = np.full_like(informed, 0.5)
    right_way = e_values.loss
    monkeypatch.setattr(e_values, "loss", lambda metric, labels, values: -right_way(metric, labels, values))

    assert of(ignorant, informed, labels) < 1
    assert of(informed, ignorant, labels) > 20


@given(METRICS, st.sampled_from([0.0, 1.0]), st.floats(0, 1), st.floats(0, 1))
def test_who_is_nearer_to_the_label_loses_less(metric: Metric, label: float, p: float, q: float) -> None:
    near, far = sorted((p, q), key=lambda value: abs(label - value))

    losses = e_values.loss(metric, np.array(label), np.array([near, far]))

    assert 0 <= losses[0] <= losses[1]


@given(st.lists(st.floats(0, 1), max_size=60), BLOCKS, METRICS)
def test_of_a_model_against_itself_nothing_follows(values: list[float], block: int, metric: Metric) -> None:
    p = np.array(values)
    labels = np.round(p)

    differences = e_values.loss(metric, labels, p) - e_values.loss(metric, labels, p.copy())

    assert Evidence(block).after(differences, bound(metric, p, p)).e_value == 1


@given(rows(largest=1e300), BLOCKS, st.floats(1e200, 1e300), st.sampled_from([-1, 1]), st.integers(0, 60))
def test_a_row_of_huge_bound_leaves_the_capital_where_capital_can_be(
    drawn: tuple[Floats, Floats], block: int, huge: float, sign: int, at: int
) -> None:
    differences, bounds = (np.insert(values, min(at, len(values)), huge) for values in drawn)
    differences[min(at, len(drawn[0]))] *= sign

    walked = path(differences, bounds, block)

    assert ((walked >= 0) & (walked <= 1e12)).all()


def test_a_row_of_huge_bound_costs_one_whole_bet_and_no_more() -> None:
    differences, bounds = np.full(60, 0.5), np.ones(60)
    one_worse = np.append(differences, -1e9), np.append(bounds, 1e9)

    assert path(*one_worse, 1)[-1] == pytest.approx(0.1 * path(differences, bounds, 1)[-1])


def test_evidence_is_bounded_however_long_it_goes_on() -> None:
    assert Evidence(1).after(np.ones(10_000), np.ones(10_000)).e_value == pytest.approx(1e12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_bound_of_brier_differences_is_reached_and_never_passed(p: float, q: float) -> None:
    one, other = np.array(p), np.array(q)

    differences = [
        abs(e_values.loss("brier", np.array(label), one) - e_values.loss("brier", np.array(label), other))
        for label in (0.0, 1.0)
    ]

    assert float(bound("brier", one, other)) == pytest.approx(max(differences), abs=1e-15)


REALS = st.floats(-1e9, 1e9)


@given(REALS, REALS, REALS)
def test_the_bound_of_absolute_differences_is_never_passed(label: float, f: float, g: float) -> None:
    one, other, y = np.array(f), np.array(g), np.array(label)

    difference = abs(e_values.loss("mae", y, one) - e_values.loss("mae", y, other))

    rounding = 4 * np.finfo(float).eps * (abs(label) + abs(f) + abs(g))
    assert difference <= bound("mae", one, other) + rounding


# A fair game, by counting every way it can go

Predictions = tuple[float, float]
Strategy = Callable[[tuple[int, ...]], Predictions]
"""What champion and challenger predict, given all labels so far: it may be made to look good, but not to see ahead."""


def steady(labels: tuple[int, ...]) -> Predictions:
    return 0.5, 0.6


def bolder_after_losses(labels: tuple[int, ...]) -> Predictions:
    behind = len(labels) - 1 - max((i for i, label in enumerate(labels) if label), default=-1)
    return 0.5, min(0.5 + 0.02 * 2**behind, 1.0)


def timid_then_bold(labels: tuple[int, ...]) -> Predictions:
    return (0.5, 0.51) if len(labels) % 5 in {0, 1} else (0.5, 1.0)


def stops_when_ahead(labels: tuple[int, ...]) -> Predictions:
    ahead = any(2 * sum(labels[:n]) > n + 1 for n in range(len(labels) + 1))
    return (0.4, 0.4) if ahead else (0.4, 0.7)


def changes_sides(labels: tuple[int, ...]) -> Predictions:
    return (0.1, 0.8) if sum(labels) % 2 else (0.9, 0.6)


STRATEGIES = [steady, bolder_after_losses, timid_then_bold, stops_when_ahead, changes_sides]


def expected(strategy: Strategy, n: int, block: int, shift: float = 0.0) -> Floats:
    """The exact expectation of the e-value after each block, over all 2^n sequences of labels.

    A label is 1 with probability (p + q) / 2, at which two predictions are equally good. `shift` moves that towards
    the champion's, at which the challenger is worse.
    """
    differences, bounds, probabilities = np.empty((2**n, n)), np.empty((2**n, n)), np.ones(2**n)
    for number, labels in enumerate(product((0, 1), repeat=n)):
        for i, label in enumerate(labels):
            p, q = strategy(labels[:i])
            chance = (p + q) / 2 + shift * (p - q)
            probabilities[number] *= chance if label else 1 - chance
            differences[number, i] = (label - p) ** 2 - (label - q) ** 2
            bounds[number, i] = bound("brier", np.array(p), np.array(q))
    assert probabilities.sum() == pytest.approx(1)
    return np.asarray(probabilities @ path(differences, bounds, block))


@pytest.mark.parametrize("block", [1, 2, 3, 5])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)
def test_against_an_equal_the_expected_capital_stays_what_it_was(strategy: Strategy, block: int) -> None:
    assert expected(strategy, 10, block) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("block", [1, 5])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)
def test_against_a_better_one_the_expected_capital_shrinks(strategy: Strategy, block: int) -> None:
    walked = expected(strategy, 10, block, shift=0.2)

    assert (np.diff(walked, prepend=1) < 0).all()


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12), st.sampled_from([1, 2, 3, 5]))
def test_tossing_a_fair_coin_for_any_stakes_is_a_fair_game(stakes: list[float], block: int) -> None:
    signs = np.array(list(product((-1.0, 1.0), repeat=len(stakes))))
    bounds = np.broadcast_to(stakes, signs.shape)

    walked = path(signs * bounds, bounds, block)

    assert walked.mean(axis=0) == pytest.approx(1, rel=1e-9)
