"""N_LAGS is the one setting so far whose variable has no prefix; it is read and handed on like the rest."""

from pathlib import Path

import pytest

from core.config.settings import Settings, child_environment, load_settings
from core.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path))
    monkeypatch.delenv("N_LAGS", raising=False)


def test_it_is_twelve_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().n_lags == 12

    monkeypatch.setenv("N_LAGS", "24")

    assert load_settings().n_lags == 24


@pytest.mark.parametrize("text", ["0", "1001", "many", "1.5", ""])
def test_what_it_cannot_be_is_said_under_its_own_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("N_LAGS", text)

    with pytest.raises(ConfigurationError, match=r"cannot be used: N_LAGS: "):
        load_settings()


def test_a_child_process_gets_it_under_its_own_name() -> None:
    explicit = child_environment(Settings(n_lags=3))

    assert explicit["N_LAGS"] == "3"
    assert "CONTENDER_N_LAGS" not in explicit
