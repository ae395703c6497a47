"""How the PostgreSQL and the MLflow of a cluster are begun; that they serve is seen on a cluster."""

from pathlib import Path

import pytest

from contender.servers import mlflow, postgres
from core.config.settings import Settings
from core.errors import ConfigurationError
from core.jobs.runner import run_command

URL = "postgresql+psycopg2://contender:secret@postgres:5432/contender"


def test_mlflow_answers_to_its_names_with_and_without_a_port(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_host="0.0.0.0", mlflow_names="mlflow, mlflow.lab.svc")

    message = mlflow.arguments(settings, URL, 5000)

    hosts = message[message.index("--allowed-hosts") + 1].split(",")
    assert hosts == [
        name + port for name in ("localhost", "127.0.0.1", "mlflow", "mlflow.lab.svc") for port in ("", ":*")
    ]
    assert message[message.index("--host") + 1] == "0.0.0.0"
    assert message[message.index("--workers") + 1] == "1"


def test_a_server_that_is_reported_too_little_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("mlflow", "", mlflow.become, []) == 42
    assert run_command("postgres", "", postgres.become, []) == 42

    reported = capsys.readouterr().err
    assert "MLFLOW_BACKEND_STORE_URI is not set" in reported
    assert "CONTENDER_DATABASE_URL, MLFLOW_BACKEND_STORE_URI, POSTGRES_PASSWORD is not set" in reported


@pytest.mark.parametrize("name", ["postgres", "initdb", "pg_isready", "pg_dump", "pg_restore", "psql"])
def test_the_package_brings_every_program_that_a_cluster_needs(name: str) -> None:
    assert Path(postgres.binary(name)).is_file()


def test_a_folder_that_cannot_be_made_is_reported_and_nothing_is_left_for_a_database(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("in the way")
    settings = Settings(home=tmp_path, database_url=URL, mlflow_backend_url=URL, postgres_password="p" * 32)

    with pytest.raises((ConfigurationError, OSError)):
        postgres.prepare(settings)
