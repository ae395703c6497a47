"""How `contender up` ends: what is said last, what the exit code tells. The services themselves are stood in for."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from contender.cli import main as cli
from contender.console import command
from contender.local import runner, services, state
from contender.local.pipeline import TaskFailure
from contender.local.services import RunningServices
from contender.servers.processes import ServiceError
from core.config.settings import Settings
from core.errors import ConfigurationError, ContenderError, UnreachableError
from tests.support.paths import TASKS

STOPPED = "Everything is stopped; nothing is lost. The same command goes on from here."


def press(number: signal.Signals) -> Callable[..., Any]:
    def pressed(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), number)

    return pressed


class Stand:
    """Services that start at once; `ensure` and `wait` can be made to end otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failures: tuple[TaskFailure, ...] = ()
        self.missing: dict[str, ContenderError] = {}
        self.ensure: Callable[..., Any] = self._services
        self.announce: Callable[..., Any] = lambda _: None
        self.wait: Callable[..., Any] = press(signal.SIGINT)
        self.stopped = 0
        monkeypatch.setattr(services, "find", lambda _: RunningServices(state.Stack(), {}))
        monkeypatch.setattr(runner, "_start", lambda *given, **named: self.ensure(*given, **named))
        monkeypatch.setattr(runner, "_supervise", lambda *given: self.wait(*given))
        monkeypatch.setattr(runner, "down", self._down)
        monkeypatch.setattr(command, "configure_logs", lambda _: None)
        monkeypatch.setattr(cli, "announcer", lambda _, *, detach: lambda services: self.announce(services))

    def _services(self, settings: Settings, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(settings=settings, failures=self.failures, missing=self.missing)

    def _down(self, _: Settings) -> bool:
        self.stopped += 1
        return True


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stand:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONTENDER_TASKS", str(TASKS))
    monkeypatch.setenv("COLUMNS", "200")
    return Stand(monkeypatch)


def up(*arguments: str) -> tuple[int, list[str]]:
    reported = CliRunner().invoke(cli.app, ["up", *arguments])
    return reported.exit_code, [line for line in reported.output.splitlines() if line]


def test_ctrl_c_after_all_was_served_is_a_good_end(stand: Stand) -> None:
    assert up() == (0, ["· Stopping.", f"· {STOPPED}"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("arguments", [(), ("--detach",)])
def test_a_signal_before_all_is_served_ends_as_a_shell_says_it(
    stand: Stand, number: signal.Signals, code: int, arguments: tuple[str, ...]
) -> None:
    stand.ensure = press(number)

    assert up(*arguments) == (code, ["· Stopping.", f"· {STOPPED}"])


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--detach",), 130)])
def test_ctrl_c_while_it_is_reported_that_all_is_up_ends_a_good_run_and_no_detached_one(
    stand: Stand, arguments: tuple[str, ...], code: int
) -> None:
    stand.announce, stand.wait = press(signal.SIGINT), pytest.fail

    assert up(*arguments) == (code, ["· Stopping.", f"· {STOPPED}"])


def test_when_the_start_fails_what_to_do_comes_last(stand: Stand) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ServiceError("MLflow ended while it started.", "The end of its log: …")

    stand.ensure = fail

    assert up("--detach") == (
        1,
        [
            "· Everything is stopped; nothing stored is lost. The error was:",
            "MLflow ended while it started.",
            "  The end of its log: …",
        ],
    )


def test_a_task_that_failed_is_named_at_the_end_and_reported_by_the_exit_code_but_all_serves_on(stand: Stand) -> None:
    stand.failures = (TaskFailure("mine", ConfigurationError("tasks/mine.yaml: `series` is missing.")),)

    assert up("--detach") == (42, ["Not done: mine.", "  See the errors above, correct them, then: contender run"])
    assert stand.stopped == 0


def test_a_small_service_that_did_not_start_is_reported_by_the_exit_code_but_all_serves_on(stand: Stand) -> None:
    stand.missing = {"features": UnreachableError("features did not answer.")}

    assert up("--detach") == (75, [])
    assert stand.stopped == 0


def test_a_model_that_there_is_not_is_reported_before_anything_starts(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_NAME", "knn_regresor")
    stand.ensure = pytest.fail

    code, message = up("--detach")

    assert code == 42
    assert message[0] == "MODEL_NAME is 'knn_regresor', which no model is called."
    assert "knn_regressor" in message[1]


def test_without_a_task_file_that_can_be_used_nothing_is_started(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text("name: [")
    monkeypatch.setenv("CONTENDER_TASKS", str(tmp_path))
    stand.ensure = pytest.fail

    code, message = up("--detach")

    assert code == 42
    assert message[0] == "mine: skipped, its task file is not valid"
    assert message[-2] == f"No task file in {tmp_path} is valid."
    assert stand.stopped == 0


class Gone:
    """A process that has ended; `lives` looks may find it alive before."""

    def __init__(self, lives: int = 0) -> None:
        self.lives = lives
        self.log = Path("api.log")

    def alive(self) -> bool:
        self.lives -= 1
        return self.lives >= 0


def test_what_ends_is_reported_once_and_only_the_api_ends_the_run(tmp_path: Path) -> None:
    reported: list[str] = []
    processes: Any = {"mlflow": Gone(), "api": Gone(lives=2), "ingestion": Gone(lives=99), "features": Gone()}
    missing: dict[str, ContenderError] = {"features": UnreachableError("features did not answer.")}
    started = runner.StartedServices(Settings(home=tmp_path), {}, processes, None, (), missing)

    with pytest.raises(ContenderError, match="The API has ended"):
        runner._supervise(started, SimpleNamespace(note=reported.append), SimpleNamespace(check=lambda: None))  # type: ignore[arg-type]

    assert reported == ["MLflow has ended. The API goes on with its last good models; jobs wait until MLflow is back."]


def test_in_a_demonstration_services_are_reported_the_day_which_ends_with_it(stand: Stand, tmp_path: Path) -> None:
    seen: list[str] = []

    def ensure(settings: Settings, *given: Any, **named: Any) -> Any:
        seen.append(Path(settings.clock_file).read_text())
        return stand._services(settings, *given, **named)

    stand.ensure = ensure

    code, reported = up("--as-of", "2005-01-03T12:00", "--accelerate", "5")

    assert (code, seen) == (0, ["2005-01-03T12:00:00+00:00"])
    again = "To go on from here: contender up --as-of 2005-01-03 --accelerate 5"
    assert reported[-1] == f"· Everything is stopped; nothing is lost. {again}"
    assert not (tmp_path / "home" / "clock").exists()


def test_the_day_of_a_demonstration_that_was_killed_does_not_count_any_more(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "clock").write_text("2005-01-03T12:00:00+00:00")

    assert up("--detach")[0] == 0
    assert not (tmp_path / "home" / "clock").exists()
