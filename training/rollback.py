"""Takes the champion alias back to a version that held it before, and pins it there."""

from collections.abc import Container, Sequence
from dataclasses import replace

import sqlalchemy as sa

from core.clock import Clock
from core.errors import NotFoundError
from core.settings import Settings
from training import forced, ledger, versions
from training.forced import Asked, Forced
from training.ledger import CHAMPION, ROLLED_BACK, Reign


def roll_back(
    engine: sa.Engine, settings: Settings, task: str, clock: Clock, *, to: int | None, who: str, why: str
) -> Forced:
    """Moves the champion to the version `to`; without it, to the champion before the present one.

    A champion that stands where a rollback has put it stays there: asked twice, it is done once, and going further
    back takes a `to`. Raises NotFoundError when there was no champion before; errors as `forced.move`.
    """
    with forced.workplace(engine, settings, task, clock) as (at, stands):
        asked = Asked(task, CHAMPION, to or 0, who, why, ROLLED_BACK)
        if to is None:
            held = ledger.reigns(engine, task, CHAMPION)
            known = versions.numbered(engine, task, {reign.version for reign in held})
            asked = replace(asked, version=_required(target(held, known), task))
        return forced.move(at, stands, asked)


def target(reigns: Sequence[Reign], usable: Container[int]) -> int | None:
    """The version to which a rollback goes: the last usable champion before the present one; None without any.

    >>> first, second, third = (Reign(version, False) for version in (1, 2, 3))
    >>> target([first, second, third], {1, 2, 3}), target([first, second, third], {1, 3}), target([first], {1})
    (2, 1, None)

    What a rollback has left behind is not a champion to go back to, and where it stopped it stays.

    >>> target([first, second, Reign(1, True), third], {1, 2, 3}), target([first, second, Reign(1, True)], {1, 2})
    (1, 1)
    """
    held: list[int] = []
    is_back = False
    for reign in reigns:
        if held and held[-1] == reign.version:
            continue  # a pin that was taken off
        is_back = reign.was_rollback
        if is_back and reign.version in held:
            del held[held.index(reign.version) + 1 :]
        else:
            held.append(reign.version)
    if is_back:
        return held[-1]
    return next((version for version in reversed(held[:-1]) if version in usable), None)


def _required(version: int | None, task: str) -> int:
    if version is None:
        raise NotFoundError(
            f"The task {task!r} has had no other champion to go back to.", "Name the version to which it shall go."
        )
    return version
