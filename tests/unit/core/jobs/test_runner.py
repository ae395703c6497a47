from dataclasses import dataclass
from pathlib import Path

import pytest

from core.config.settings import Settings
from core.config.tasks import Task
from core.errors import (
    ConfigurationError,
    ContenderError,
    DataRefusedError,
    IntegrityError,
    NotFoundError,
    SourceUnreachableError,
)
from core.jobs.clock import Clock
from core.jobs.runner import exit_code, run_job


@dataclass(frozen=True)
class Held:
    def sentence(self) -> str:
        return "HOLD: not enough evidence"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceUnreachableError("Yahoo did not answer."), 75),
        (ConfigurationError("bad"), 42),
        (NotFoundError("bad"), 42),
        (DataRefusedError("bad"), 43),
        (IntegrityError("bad"), 43),
        (ContenderError("a fault of ours"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: ContenderError, code: int) -> None:
    assert exit_code(error) == code


def test_a_hold_exits_with_zero_and_one_summary_line(capsys: pytest.CaptureFixture[str]) -> None:
    def job(settings: Settings, task: Task, clock: Clock) -> Held:
        return Held()

    assert run_job("promotion", job, ["--task", "spy"]) == 0
    assert capsys.readouterr().err.count("HOLD: not enough evidence") == 1


def test_an_unreachable_source_asks_to_be_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    def job(settings: Settings, task: Task, clock: Clock) -> Held:
        raise SourceUnreachableError("Yahoo did not answer.", "Try again later.")

    assert run_job("ingestion", job, ["--task", "spy"]) == 75
    assert "Try again later." in capsys.readouterr().err


def test_an_unknown_task_is_a_configuration_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def job(settings: Settings, task: Task, clock: Clock) -> Held:
        return Held()

    assert run_job("ingestion", job, ["--task", "nobody"]) == 42
    assert "airline, spy" in capsys.readouterr().err


def test_as_of_sets_the_clock_of_the_job() -> None:
    seen = []

    def job(settings: Settings, task: Task, clock: Clock) -> Held:
        seen.append(clock.now().date().isoformat())
        return Held()

    run_job("features", job, ["--task", "spy", "--as-of", "2010-05-06"])

    assert seen == ["2010-05-06"]


@pytest.mark.parametrize(
    ("codes", "expected"), [((0, 0), 0), ((43, 0), 43), ((0, 42), 42), ((42, 75), 75), ((75, 43), 75), ((43, 42), 43)]
)
def test_a_failure_keeps_no_other_task_from_its_turn_and_what_may_help_later_is_asked_for(
    codes: tuple[int, int], expected: int
) -> None:
    errors = {75: SourceUnreachableError, 42: ConfigurationError, 43: DataRefusedError}
    turns = []

    def job(settings: Settings, task: Task, clock: Clock) -> Held:
        turns.append(task.name)
        code = codes[len(turns) - 1]
        if code:
            raise errors[code]("No.", "Later.")
        return Held()

    assert run_job("ingestion", job, []) == expected
    assert turns == ["airline", "spy"]
    turns.clear()
    assert run_job("ingestion", job, ["--task", "spy", "--task", "airline"]) == expected
    assert turns == ["spy", "airline"]


def test_without_any_task_file_a_job_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CONTENDER_TASKS", str(tmp_path))

    assert run_job("ingestion", lambda *_: Held(), []) == 42
    assert "set CONTENDER_TASKS" in capsys.readouterr().err
