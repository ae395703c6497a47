"""The door of a pushed task: what the outlier guard lets pass depends on the rows that were learned alone."""

from core.config.task_files import load_pushed
from tests.support.paths import REPOSITORY
from training.event_log.events import NewEvent
from training.event_log.validation import RowValidator, RunningStats


def guards() -> tuple[RowValidator, RowValidator]:
    task = load_pushed(REPOSITORY / "tasks", "live")
    return RowValidator(task), RowValidator(task)


def refused(admission: RowValidator, ranges: RunningStats, value: float) -> bool:
    (found,) = admission.refusals(ranges, [NewEvent("row", {"x": value}, 1.0)])
    return found is not None


def test_replicas_refuse_the_same_however_often_they_were_asked() -> None:
    often, seldom = guards()
    ranges = RunningStats()
    for i in range(3_000):
        ranges.learn({"x": float(i % 100) * (1 + i // 1_000)}, float(i % 5))
        refused(often, ranges, 0.0)
        if i % 250 == 0:
            values = [100.0 * step for step in range(40)]
            assert [refused(often, ranges, value) for value in values] == [
                refused(seldom, ranges, value) for value in values
            ]


def test_the_guard_begins_with_enough_rows_and_follows_what_is_learned() -> None:
    guard, _ = guards()
    ranges = RunningStats()
    for i in range(40):
        ranges.learn({"x": float(i % 7)}, 1.0)
    assert not refused(guard, ranges, 1e6)

    for i in range(20):
        ranges.learn({"x": float(i % 7)}, 1.0)
    assert refused(guard, ranges, 1e6)
    assert not refused(guard, ranges, 20.0)

    for _ in range(40):
        ranges.learn({"x": 1e6}, 1.0)
    assert not refused(guard, ranges, 1e6)
