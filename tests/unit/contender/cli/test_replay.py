"""What `contender replay` refuses before it touches anything."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from contender.cli.main import app
from tests.support.paths import TASKS


@pytest.fixture(autouse=True)
def _a_home_where_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path))
    monkeypatch.setenv("CONTENDER_TASKS", str(TASKS))
    monkeypatch.delenv("CONTENDER_DATABASE_URL", raising=False)
    monkeypatch.delenv("CONTENDER_MLFLOW_URL", raising=False)


def run(*words: str) -> tuple[int, str]:
    reported = CliRunner().invoke(app, ["replay", *words], env={"COLUMNS": "300"})
    return reported.exit_code, reported.output


def test_a_first_session_that_is_no_date_is_refused_with_how_to_write_one() -> None:
    assert run("spy", "--from", "yesterday") == (42, "--from 'yesterday' is no date.\n  Write it as 2005-01-03.\n")


def test_without_services_it_says_how_to_start_them() -> None:
    code, message = run("spy", "--from", "2005-01-03", "--days", "3")

    assert code == 42
    assert "No database is known" in message
    assert "make up" in message


def test_no_sessions_and_no_first_session_are_refused() -> None:
    assert run("spy", "--from", "2005-01-03", "--days", "0")[0] == 2
    assert run("spy")[0] == 2
    assert run("--from", "2005-01-03")[0] == 2
    assert run("spy", "--remove", "a", "--from", "2005-01-03")[0] == 2
