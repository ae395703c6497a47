import pytest

from training.ledger.entries import GUARD, AliasTenure
from training.ledger.rollback import target
from training.promotion import gate


def held(*versions: int) -> list[AliasTenure]:
    """Versions in the order in which they took the alias; a negative one was put there by a rollback."""
    return [AliasTenure(abs(version), version < 0) for version in versions]


@pytest.mark.parametrize(
    ("versions", "usable", "expected"),
    [
        ((), (), None),
        ((1,), (1,), None),
        ((1, 1), (1,), None),
        ((1, 2), (1, 2), 1),
        ((1, 2, 2), (1, 2), 1),
        ((1, 2, 3), (1, 3), 1),
        ((1, 2), (2,), None),
        ((1, 2, 1), (1, 2), 2),
        ((1, 2, -1), (1, 2), 1),
        ((1, 2, -1, 1), (1, 2), 1),
        ((1, 2, -1, 3), (1, 2, 3), 1),
        ((1, 2, 3, -2, 4, -2), (1, 2, 3, 4), 2),
        ((1, -7), (1, 7), 7),
    ],
)
def test_a_rollback_goes_to_the_last_usable_champion_before_and_stays_where_it_went(
    versions: tuple[int, ...], usable: tuple[int, ...], expected: int | None
) -> None:
    assert target(held(*versions), usable) == expected


@pytest.mark.parametrize(
    ("versions", "usable", "expected"),
    [
        ((), (), None),
        ((1,), (), None),
        ((1,), (1,), 1),
        ((1, 2), (1, 2), 2),
        ((1, 2), (1,), 1),
        ((1, 2, -1), (1, 2), 1),
        ((1, 2, 3, -2), (1, 3), 1),
    ],
)
def test_where_the_alias_is_lost_a_rollback_goes_to_the_last_champion_that_can_still_be_used(
    versions: tuple[int, ...], usable: tuple[int, ...], expected: int | None
) -> None:
    assert target(held(*versions), usable, is_lost=True) == expected


def test_a_rollback_after_the_guards_goes_further_back_and_never_to_what_the_guard_removed() -> None:
    guarded = [*held(1, 2, 3), AliasTenure(2, was_rollback=False, by_guard=True)]

    assert target(guarded, (1, 2, 3)) == 1
    assert target([*guarded, *held(4)], (1, 2, 3, 4)) == 2
    assert target([*held(1), AliasTenure(2, was_rollback=False, by_guard=True)], (1, 2)) == 1
    assert gate.GUARD == GUARD
