"""The loop over the tasks: what stops one stops no other."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from contender.console.progress import ProgressReporter
from contender.local import pipeline
from contender.local.pipeline import load_tasks
from core.config.settings import Settings
from core.config.tasks import Task
from core.jobs.clock import Clock, SystemClock
from tests.support.paths import TASKS


def test_a_fault_of_ours_in_one_task_is_reported_written_down_and_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = io.StringIO()
    progress = ProgressReporter(Console(file=message, width=200))
    settings = Settings(home=tmp_path, tasks=TASKS)
    walked = []

    def run_task(settings: Settings, task: Task, clock: Clock, progress: ProgressReporter) -> None:
        walked.append(task.name)
        if task.name == "airline":
            raise ValueError("array must not contain infs or NaNs\n in row 3")

    monkeypatch.setattr(pipeline, "run_task", run_task)

    failures = pipeline.run_all(settings, load_tasks(TASKS, progress), SystemClock(), progress)

    assert walked == ["airline", "spy"]
    assert [failure.task for failure in failures] == ["airline"]
    assert "ValueError: array must not contain infs or NaNs." in message.getvalue()
    assert "in row 3" in (tmp_path / "logs" / "faults.log").read_text()
