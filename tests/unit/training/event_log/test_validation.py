"""Validation of pushed rows: what the outlier guard accepts depends on the rows that were learned alone."""

from core.config.task_files import load_pushed
from tests.support.paths import REPOSITORY
from training.event_log.events import NewEvent
from training.event_log.validation import RowValidator, RunningStats


def guards() -> tuple[RowValidator, RowValidator]:
    task = load_pushed(REPOSITORY / "tasks", "live")
    return RowValidator(task), RowValidator(task)


def refused(validator: RowValidator, stats: RunningStats, value: float) -> bool:
    (found,) = validator.validate(stats, [NewEvent("row", {"x": value}, 1.0)])
    return found is not None


def test_replicas_refuse_the_same_however_often_they_validate() -> None:
    often, seldom = guards()
    stats = RunningStats()
    for i in range(3_000):
        stats.learn({"x": float(i % 100) * (1 + i // 1_000)}, float(i % 5))
        refused(often, stats, 0.0)
        if i % 250 == 0:
            values = [100.0 * step for step in range(40)]
            assert [refused(often, stats, value) for value in values] == [
                refused(seldom, stats, value) for value in values
            ]


def test_the_guard_begins_with_enough_rows_and_follows_what_is_learned() -> None:
    guard, _ = guards()
    stats = RunningStats()
    for i in range(40):
        stats.learn({"x": float(i % 7)}, 1.0)
    assert not refused(guard, stats, 1e6)

    for i in range(20):
        stats.learn({"x": float(i % 7)}, 1.0)
    assert refused(guard, stats, 1e6)
    assert not refused(guard, stats, 20.0)

    for _ in range(40):
        stats.learn({"x": 1e6}, 1.0)
    assert not refused(guard, stats, 1e6)
