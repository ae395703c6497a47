import io
from pathlib import Path

import pytest
from rich.console import Console

from contender.console.progress import ProgressReporter
from contender.local.pipeline import load_tasks, report_failures
from core.errors import ConfigurationError
from tests.support.paths import TASKS


@pytest.fixture
def message() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(message: io.StringIO) -> ProgressReporter:
    return ProgressReporter(Console(file=message, width=200))


def test_a_file_that_cannot_be_used_is_reported_and_skipped(
    tmp_path: Path, message: io.StringIO, progress: ProgressReporter
) -> None:
    (tmp_path / "airline.yaml").write_text((TASKS / "airline.yaml").read_text())
    (tmp_path / "broken.yaml").write_text("name: [")

    found = load_tasks(tmp_path, progress)
    report_failures(found.skipped, progress)

    assert [task.name for task in found.tasks] == ["airline"]
    assert [failure.task for failure in found.skipped] == ["broken"]
    assert "broken: skipped" in message.getvalue()
    assert f"{tmp_path / 'broken.yaml'} is not YAML" in message.getvalue()
    assert message.getvalue().splitlines()[-2:] == [
        "Not done: broken.",
        "  See the errors above, correct them, then: contender run",
    ]


def test_when_not_one_file_can_be_used_each_is_reported_and_nothing_goes_on(
    tmp_path: Path, message: io.StringIO, progress: ProgressReporter
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("name: [")

    with pytest.raises(ConfigurationError, match=r"No task file in .* is valid"):
        load_tasks(tmp_path, progress)

    assert message.getvalue().count("skipped") == 2


def test_a_folder_without_task_files_is_reported(tmp_path: Path, progress: ProgressReporter) -> None:
    with pytest.raises(ConfigurationError, match="CONTENDER_TASKS"):
        load_tasks(tmp_path, progress)


def test_the_file_of_a_pushed_task_is_checked_and_goes_through_no_loop(
    tmp_path: Path, message: io.StringIO, progress: ProgressReporter
) -> None:
    (tmp_path / "phishing.yaml").write_text((TASKS / "phishing.yaml").read_text())
    live = (TASKS / "live.yaml").read_text()
    (tmp_path / "live.yaml").write_text(live.replace("procedure: snarimax", "procedure: sarimax"))

    found = load_tasks(tmp_path, progress)

    assert found.tasks == ()
    assert [failure.task for failure in found.skipped] == ["live"]
    assert "There is no online procedure 'sarimax'" in message.getvalue()
