import json
from pathlib import Path

import pytest

from core.config.settings import Settings, child_environment, load_settings
from core.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path))
    monkeypatch.delenv("CONTENDER_DATABASE_URL", raising=False)


def test_the_environment_says_where_things_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONTENDER_API_PORT", "8123")

    settings = load_settings()

    assert (settings.home, settings.api_port) == (tmp_path, 8123)


def test_a_setting_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENDER_API_PORT", "eighty")

    with pytest.raises(ConfigurationError, match="CONTENDER_API_PORT"):
        load_settings()


def test_addresses_come_from_the_running_stack_unless_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text(
        json.dumps({"database_url": "postgresql+psycopg2://a", "mlflow_url": "http://m"})
    )
    monkeypatch.setenv("CONTENDER_MLFLOW_URL", "http://other")

    settings = load_settings()

    assert settings.require_database_url() == "postgresql+psycopg2://a"
    assert settings.require_mlflow_url() == "http://other"


def test_without_a_database_the_error_says_how_to_get_one() -> None:
    with pytest.raises(ConfigurationError, match="make up"):
        load_settings().require_database_url()


def test_a_child_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(api_port=8123, database_url="postgresql+psycopg2://x")

    for name, value in child_environment(settings, {}).items():
        monkeypatch.setenv(name, value)

    assert load_settings() == settings.model_copy(
        update={"home": settings.home.resolve(), "tasks": settings.tasks.resolve()}
    )
