"""Takes the champion alias back to a version that held it before, and pins it there."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from core.config.settings import Settings
from core.errors import NotFoundError
from core.jobs.clock import Clock
from training.ledger import entries as ledger
from training.ledger import manual
from training.ledger.entries import CHAMPION, ROLLED_BACK, AliasTenure
from training.ledger.manual import Forced, PromotionRequest
from training.registry import client as registry
from training.registry import restore, versions


def roll_back(
    engine: sa.Engine, settings: Settings, task: str, clock: Clock, *, to: int | None, who: str, why: str
) -> Forced:
    """Moves the champion to the version `to`; without it, to the champion before the present one.

    A champion that stands where a rollback has put it stays there: asked twice, it is done once, and going further
    back takes a `to`. One that stands there without a pin is pinned. Where the champion was deleted in MLflow, the last
    one that MLflow still has takes its place; a registered model that was deleted as a whole is put back first, with
    its versions.
    Raises NotFoundError when there is none to go back to; errors as `forced.move`.
    """
    with manual.workplace(engine, settings, task, clock) as (at, stands):
        asked = PromotionRequest(task, CHAMPION, to or 0, who, why, ROLLED_BACK)
        is_lost = CHAMPION not in stands.aliases
        if is_lost:
            restore.put_back(at, task)
        if to is None:
            held = ledger.reigns(engine, task, CHAMPION)
            found = target(held, _Usable(engine, settings, task), is_lost=is_lost)
            other = next((number for number in stands.aliases.values() if number != stands.aliases.get(CHAMPION)), None)
            asked = replace(asked, version=_required(found, task, other, is_lost=is_lost and bool(held)))
        return manual.move(at, stands, asked)


@dataclass(frozen=True)
class _Usable:
    """The versions that may serve: Postgres knows their digest, and MLflow still has them. Asked one by one."""

    engine: sa.Engine
    settings: Settings
    task: str

    def __contains__(self, version: object) -> bool:
        return (
            isinstance(version, int)
            and versions.find(self.engine, self.task, version) is not None
            and registry.find(self.settings, self.task, version) is not None
        )


def target(reigns: Sequence[AliasTenure], usable: Container[int], *, is_lost: bool = False) -> int | None:
    """The version to which a rollback goes: the last usable champion before the present one; None without any.

    >>> first, second, third = (AliasTenure(version, False) for version in (1, 2, 3))
    >>> target([first, second, third], {1, 2, 3}), target([first, second, third], {1, 3}), target([first], {1})
    (2, 1, None)

    What a rollback has left behind is not a champion to go back to, and where it stopped it stays.

    >>> back = AliasTenure(1, True)
    >>> target([first, second, back, third], {1, 2, 3}), target([first, second, back], {1, 2})
    (1, 1)

    Nor is what the guard has removed, but from where the guard stopped it goes further.

    >>> target([first, second, third, AliasTenure(2, False, by_guard=True)], {1, 2, 3})
    1

    Where the alias is lost, it goes to the last one of all that can still be used.

    >>> target([first, second], {1, 2}, is_lost=True), target([first, second, AliasTenure(1, True)], {2}, is_lost=True)
    (2, None)
    """
    held: list[int] = []
    is_back = False
    for reign in reigns:
        if held and held[-1] == reign.version:
            continue  # a pin that was taken off
        is_back = reign.was_rollback
        if (is_back or reign.by_guard) and reign.version in held:
            del held[held.index(reign.version) + 1 :]
        else:
            held.append(reign.version)
    if is_back and not is_lost:
        return held[-1]
    before = held if is_lost else held[:-1]
    return next((version for version in reversed(before) if version in usable), None)


def _required(version: int | None, task: str, other: int | None, *, is_lost: bool) -> int:
    named = other or "VERSION"
    if version is None and is_lost:
        raise NotFoundError(
            f"MLflow has none of the versions any more that were champion of {task!r}.",
            f'Name one that it has: contender rollback {task} --to {named} --why "…"; or train anew: '
            f"contender run {task}",
        )
    if version is None:
        raise NotFoundError(
            f"The task {task!r} has had no other champion to go back to.",
            f'Name the version to which it shall go: contender rollback {task} --to {named} --why "…"; '
            f"`contender history {task}` names those that held an alias.",
        )
    return version
