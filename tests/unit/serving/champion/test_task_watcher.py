"""The API and the task files: one that cannot be used takes neither the others nor its own past away."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.config.task_files import load_task
from core.config.task_overrides import Configuration
from serving.champion.task_watcher import TaskWatcher
from serving.runtime.complaints import LogOnce
from tests.support.paths import REPOSITORY

AIRLINE = (REPOSITORY / "tasks" / "airline.yaml").read_text()


def put(folder: Path, name: str, text: str, *, at: int) -> None:
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("name: airline", f"name: {name}"))
    os.utime(path, (at, at))


@pytest.fixture
def shelf(tmp_path: Path) -> TaskWatcher:
    return TaskWatcher(tmp_path, LogOnce())


@pytest.mark.parametrize("broken", ["name: [", AIRLINE.replace("lag:", "lap:"), "name: broken\ngate: {alfa: 1}"])
def test_a_broken_file_leaves_the_good_ones_served(shelf: TaskWatcher, tmp_path: Path, broken: str) -> None:
    put(tmp_path, "good", AIRLINE, at=1)
    put(tmp_path, "broken", broken, at=1)

    assert list(shelf.read()) == ["good"]


def test_a_file_that_names_a_transform_which_does_not_exist_leaves_what_it_said_before(
    shelf: TaskWatcher, tmp_path: Path
) -> None:
    put(tmp_path, "mine", AIRLINE, at=1)
    before = shelf.read()["mine"]
    put(tmp_path, "mine", AIRLINE.replace("lag:", "lap:"), at=2)

    assert shelf.read() == {"mine": before}

    put(tmp_path, "mine", AIRLINE.replace("title: ", "title: Mended. "), at=3)
    assert shelf.read()["mine"].title.startswith("Mended.")


def test_a_configuration_counts_instead_of_the_file_and_a_new_one_is_noticed(tmp_path: Path) -> None:
    put(tmp_path, "airline", AIRLINE, at=1)
    declared = load_task(tmp_path, "airline").model_dump(mode="json")
    counts: dict[str, Configuration] = {}
    shelf = TaskWatcher(tmp_path, LogOnce(), lambda: counts)

    def titled(number: int, title: str | None) -> str:
        declaration = None if title is None else {**declared, "title": title}
        counts["airline"] = Configuration("airline", number, declaration, "anna", "", datetime(2020, 1, 1, tzinfo=UTC))
        return shelf.read()["airline"].title

    from_file = shelf.read()["airline"].title
    assert [titled(1, "One?"), titled(2, "Two?"), titled(3, None)] == ["One?", "Two?", from_file]
    assert titled(4, "") == ""
    put(tmp_path, "airline", "name: [", at=2)
    assert titled(4, "") == ""
