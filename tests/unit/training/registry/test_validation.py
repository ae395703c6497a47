"""What keeps a version from serving: the same answer to all golden rows does, where the answer depends on the row."""

from dataclasses import replace
from datetime import date

import pytest

from core.config.task_files import load_task
from tests.support.paths import REPOSITORY
from training.registry import validation
from training.registry.versions import Version

AIRLINE = load_task(REPOSITORY / "tasks", "airline")
BARE = Version(
    "airline", 7, "ridge", "h", "batch", "airline", date(1960, 1, 1), 100, "d", "a", "c", "",
    {"rows": [[1.0], [2.0]], "expected": [449.6, 449.6]},
)  # fmt: skip


@pytest.mark.parametrize(
    ("contender", "fault"), [("ridge", validation.CONSTANT), ("linear", validation.CONSTANT), ("naive", ""),
                             ("holt-winters", ""), ("snarimax", "")],
)  # fmt: skip
def test_one_answer_to_all_rows_is_a_fault_of_those_who_look_at_them(contender: str, fault: str) -> None:
    kind = AIRLINE.contenders[contender].kind

    assert validation.failed_check(AIRLINE, replace(BARE, contender=contender, kind=kind)) == fault
