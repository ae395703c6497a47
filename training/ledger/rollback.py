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
from training.ledger.manual import ForcedMove, PromotionRequest
from training.registry import restore, versions
from training.registry.factory import open_registry


def roll_back(
    engine: sa.Engine, settings: Settings, task: str, clock: Clock, *, to: int | None, who: str, why: str
) -> ForcedMove:
    """Moves the champion to the version `to`; without it, to the champion before the present one.

    A champion that a rollback has put where it is stays there: requested twice, it is done once, and going further back
    takes a `to`. One that is there without a pin is pinned. Where the champion was deleted in MLflow, the last one that
    MLflow still has takes its place; a registered model that was deleted as a whole is restored first, with its
    versions.

    Args:
        engine: of our database.
        settings: where the registry is.
        task: its name.
        clock: of the command.
        to: the version to go back to.
        who: rolls back.
        why: it is rolled back.

    Raises:
        NotFoundError: there is no version to go back to. Other errors as `manual.move`.
    """
    with manual.hold_promote_lease(engine, settings, task, clock) as (at, aliases):
        request = PromotionRequest(task, CHAMPION, to or 0, who, why, ROLLED_BACK)
        is_lost = CHAMPION not in aliases.aliases
        if is_lost:
            # First: without the registered model MLflow has none of the versions to go back to.
            restore.restore_registered_model(at, task)
        if to is None:
            held = ledger.tenures(engine, task, CHAMPION)
            found = target(held, _Usable(engine, settings, task), is_lost=is_lost)
            champion = aliases.aliases.get(CHAMPION)
            other = next((number for number in aliases.aliases.values() if number != champion), None)
            request = replace(request, version=_required(found, task, other, is_lost=is_lost and bool(held)))
        return manual.move(at, aliases, request)


@dataclass(frozen=True)
class _Usable:
    """The versions that may serve: Postgres knows their digest, and MLflow still has them; looked up one by one."""

    engine: sa.Engine
    settings: Settings
    task: str

    def __contains__(self, version: object) -> bool:
        return (
            isinstance(version, int)
            and versions.find(self.engine, self.task, version) is not None
            and open_registry(self.settings).find(self.task, version) is not None
        )


def target(tenures: Sequence[AliasTenure], usable: Container[int], *, is_lost: bool = False) -> int | None:
    """The version to which a rollback goes: the last usable champion before the present one; None without any.

    >>> first, second, third = (AliasTenure(version, False) for version in (1, 2, 3))
    >>> target([first, second, third], {1, 2, 3}), target([first, second, third], {1, 3}), target([first], {1})
    (2, 1, None)

    What a rollback has left behind is not a champion to go back to, and a second rollback stays where the first ended.

    >>> back = AliasTenure(1, was_rollback=True)
    >>> target([first, second, back, third], {1, 2, 3}), target([first, second, back], {1, 2})
    (1, 1)

    Nor is a champion that failed its probation; but from where the gate went back to, a rollback goes further.

    >>> target([first, second, third, AliasTenure(2, False, by_guard=True)], {1, 2, 3})
    1

    Where the alias is lost, it goes to the last one of all that can still be used.

    >>> target([first, second], {1, 2}, is_lost=True), target([first, second, back], {2}, is_lost=True)
    (2, None)
    """
    held: list[int] = []
    is_back = False
    for tenure in tenures:
        if held and held[-1] == tenure.version:
            continue  # the release of a pin is a row of the ledger too, and no new tenure
        is_back = tenure.was_rollback
        if (is_back or tenure.by_guard) and tenure.version in held:
            del held[held.index(tenure.version) + 1 :]
        else:
            held.append(tenure.version)
    if is_back and not is_lost:
        return held[-1]
    before = held if is_lost else held[:-1]
    return next((version for version in reversed(before) if version in usable), None)


def _required(version: int | None, task: str, other: int | None, *, is_lost: bool) -> int:
    named = other or "VERSION"
    if version is None and is_lost:
        raise NotFoundError(
            f"MLflow has none of the versions any more that were champion of {task!r}.",
            f'Name one that it has: contender rollback {task} --to {named} --why "…"; or train again: '
            f"contender run {task}",
        )
    if version is None:
        raise NotFoundError(
            f"The task {task!r} has had no other champion to go back to.",
            f'Name the version to go back to: contender rollback {task} --to {named} --why "…"; '
            f"`contender history {task}` names those that held an alias.",
        )
    return version
