"""The API and the task files: one that cannot be used takes neither the others nor its own past away."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.config.task_files import load_task
from core.config.task_overrides import Configuration
from core.config.tasks import Task
from core.errors import DatabaseUnreachableError
from serving.champion.task_watcher import TaskWatcher
from serving.runtime.periodic import LogOnce
from tests.support.paths import REPOSITORY

AIRLINE = (REPOSITORY / "tasks" / "airline.yaml").read_text()


def put(folder: Path, name: str, text: str, *, at: int) -> None:
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("name: airline", f"name: {name}"))
    os.utime(path, (at, at))


@pytest.fixture
def watcher(tmp_path: Path) -> TaskWatcher:
    return TaskWatcher(tmp_path, dict, dict, LogOnce())


def read(watcher: TaskWatcher) -> dict[str, Task]:
    watcher.look()
    return watcher.tasks


@pytest.mark.parametrize("broken", ["name: [", AIRLINE.replace("lag:", "lap:"), "name: broken\ngate: {alfa: 1}"])
def test_a_broken_file_leaves_the_good_ones_served(watcher: TaskWatcher, tmp_path: Path, broken: str) -> None:
    put(tmp_path, "good", AIRLINE, at=1)
    put(tmp_path, "broken", broken, at=1)

    assert list(read(watcher)) == ["good"]


def test_a_file_that_names_a_transform_which_does_not_exist_leaves_what_it_said_before(
    watcher: TaskWatcher, tmp_path: Path
) -> None:
    put(tmp_path, "mine", AIRLINE, at=1)
    before = read(watcher)["mine"]
    put(tmp_path, "mine", AIRLINE.replace("lag:", "lap:"), at=2)

    assert read(watcher) == {"mine": before}

    put(tmp_path, "mine", AIRLINE.replace("title: ", "title: Mended. "), at=3)
    assert read(watcher)["mine"].title.startswith("Mended.")


def test_a_configuration_counts_instead_of_the_file_and_a_new_one_is_noticed(tmp_path: Path) -> None:
    put(tmp_path, "airline", AIRLINE, at=1)
    declared = load_task(tmp_path, "airline").model_dump(mode="json")
    counts: dict[str, Configuration] = {}
    watcher = TaskWatcher(tmp_path, lambda: counts, dict, LogOnce())

    def titled(number: int, title: str | None) -> str:
        declaration = None if title is None else {**declared, "title": title}
        counts["airline"] = Configuration("airline", number, declaration, "anna", "", datetime(2020, 1, 1, tzinfo=UTC))
        return read(watcher)["airline"].title

    from_file = read(watcher)["airline"].title
    assert [titled(1, "One?"), titled(2, "Two?"), titled(3, None)] == ["One?", "Two?", from_file]
    assert titled(4, "") == ""
    put(tmp_path, "airline", "name: [", at=2)
    assert titled(4, "") == ""


def test_a_reload_is_due_once_and_what_was_requested_before_the_start_is_not(tmp_path: Path) -> None:
    counts = {"airline": 4}
    changes: list[int] = []
    watcher = TaskWatcher(tmp_path, dict, lambda: dict(counts), LogOnce(), lambda: changes.append(1))

    assert watcher.look() == frozenset()
    before = watcher.revision("airline")
    counts.update(airline=5, live=1)

    assert watcher.look() == {"airline", "live"}
    assert watcher.look() == frozenset()
    assert changes == [1]
    assert watcher.revision("airline") == before._replace(reloads=1)


def test_a_reload_that_cannot_be_read_is_due_when_it_can(tmp_path: Path) -> None:
    answers: list[dict[str, int] | None] = [None, {"airline": 4}, None, {"airline": 5}]

    def counts() -> dict[str, int]:
        answer = answers.pop(0)
        if answer is None:
            raise DatabaseUnreachableError("Postgres does not answer.")
        return answer

    watcher = TaskWatcher(tmp_path, dict, counts, LogOnce())

    assert [watcher.look() for _ in range(4)] == [frozenset(), frozenset(), frozenset(), {"airline"}]
