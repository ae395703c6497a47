"""The naive rules of promotion, row by row."""

import numpy as np

from contender.replay import rules


def test_the_lowest_mean_so_far_is_that_of_the_rows_before() -> None:
    losses = np.array([[0.2, 0.4], [0.9, 0.1], [0.0, 0.9], [0.5, 0.5]])

    holders = rules.lowest_mean_so_far(losses, 1)

    assert holders.tolist() == [0, 1, 0]
    assert rules.losses_of(losses, 1, holders).tolist() == [0.9, 0.9, 0.5]


def test_a_row_is_never_chosen_by_its_own_loss_or_a_later_one() -> None:
    losses = np.random.default_rng(3).uniform(size=(60, 4))
    poisoned = losses.copy()
    poisoned[40:] = 1 - poisoned[40:]

    for rule in (rules.lowest_mean_so_far(losses, 10), rules.lower_on_the_last_rows(losses, 10, 2)):
        assert len(rule) == 50
    assert rules.lowest_mean_so_far(losses, 10)[:31].tolist() == rules.lowest_mean_so_far(poisoned, 10)[:31].tolist()
    assert (
        rules.lower_on_the_last_rows(losses, 10, 2)[:31].tolist()
        == rules.lower_on_the_last_rows(poisoned, 10, 2)[:31].tolist()
    )


def test_the_last_rows_rule_keeps_the_holder_until_another_is_better_by_the_margin() -> None:
    close, better = [0.300, 0.291], [0.300, 0.289]
    losses = np.array([close] * 7 + [better] * 5)

    holders = rules.lower_on_the_last_rows(losses, 5, 0)

    # two better rows of five: 0.0098 lower; three: 0.0102
    assert holders.tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_the_last_rows_rule_waits_for_five_rows() -> None:
    losses = np.array([[0.9, 0.1]] * 7)

    assert rules.lower_on_the_last_rows(losses, 1, 0).tolist() == [0, 0, 0, 0, 1, 1]


def test_changes_are_counted_where_the_holder_differs_from_the_one_before() -> None:
    assert rules.changes(np.array([2, 2, 1, 1, 2])) == 2
    assert rules.changes(np.array([1])) == 0
