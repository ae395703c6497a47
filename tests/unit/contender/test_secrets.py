"""The secrets of a cluster: made once, to be read by their owner only, and never printed into anything else."""

import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from typer.testing import CliRunner

from contender import secrets
from contender.cli import app
from core.settings import Settings, variable

NAMED = {variable(name) for name in Settings.model_fields}


def test_every_secret_is_a_setting_and_no_two_are_alike() -> None:
    values = yaml.safe_load(secrets.manifest("lab"))["stringData"]

    assert set(values) <= NAMED
    kept = [sa.make_url(value).password if "://" in value else value for value in values.values()]
    assert len(set(kept)) == len(values) == 5
    assert all(secret is not None and len(secret) >= 32 for secret in kept)


def test_the_command_prints_the_same_secret_again_and_keeps_it_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path / "home"))

    first, again = (CliRunner().invoke(app, ["secrets"]) for _ in range(2))

    assert first.exit_code == again.exit_code == 0
    made = yaml.safe_load(first.stdout)
    assert made == yaml.safe_load(again.stdout)
    assert made["metadata"]["namespace"] == "contender"
    (file,) = (tmp_path / "home").glob("cluster-secrets.yaml")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "Made, and kept" in first.stderr
    assert "Kept in" in again.stderr
