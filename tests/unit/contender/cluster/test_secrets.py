"""The secrets of a cluster: made once, to be read by their owner only, and never printed into anything else."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from cryptography import x509
from typer.testing import CliRunner

from contender.cli.main import app
from contender.cluster import secrets
from core.config.settings import Settings, variable
from core.jobs.clock import FixedClock

NOW = FixedClock(datetime(2026, 11, 20, tzinfo=UTC))
NAMED = {variable(name) for name in Settings.model_fields}


def test_every_secret_is_a_setting_and_no_two_are_alike() -> None:
    values = secrets.manifests("lab", NOW)[0]["stringData"]

    assert set(values) <= NAMED
    kept = [sa.make_url(value).password if "://" in value else value for value in values.values()]
    assert len(set(kept)) == len(values) == 5
    assert all(secret is not None and len(secret) >= 32 for secret in kept)


def test_the_certificate_is_for_the_ingress_and_not_for_ever() -> None:
    tls = secrets.manifests("lab", NOW)[1]

    certificate = x509.load_pem_x509_certificate(tls["stringData"]["tls.crt"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert (tls["type"], names.get_values_for_type(x509.DNSName)) == ("kubernetes.io/tls", ["contender.localhost"])
    assert (certificate.not_valid_after_utc - NOW.now()).days == 824


def test_the_command_prints_the_same_secrets_again_and_keeps_them_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path / "home"))

    first, again = (CliRunner().invoke(app, ["secrets"]) for _ in range(2))

    assert first.exit_code == again.exit_code == 0
    made = list(yaml.safe_load_all(first.stdout))
    assert made == list(yaml.safe_load_all(again.stdout))
    assert {one["metadata"]["namespace"] for one in made} == {"contender"}
    (file,) = (tmp_path / "home").glob("cluster-secrets.yaml")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "Made, and kept" in first.stderr
    assert "Kept in" in again.stderr


def test_what_a_newer_program_needs_is_added_and_what_is_in_use_stays(tmp_path: Path) -> None:
    old = secrets.manifests("contender", NOW)[0]
    del old["stringData"]["CONTENDER_TRAINER_TOKEN"]
    file = tmp_path / secrets.FILE
    file.write_text(yaml.safe_dump(old))

    assert secrets.ensure(file, "contender", NOW)

    kept = {one["metadata"]["name"]: one["stringData"] for one in yaml.safe_load_all(file.read_text())}
    assert kept["contender-secrets"].items() >= old["stringData"].items()
    assert kept["contender-secrets"]["CONTENDER_TRAINER_TOKEN"]
    assert "tls.key" in kept["contender-tls"]
    assert not secrets.ensure(file, "contender", NOW)


def test_a_secret_of_a_newer_program_stays_and_the_file_is_closed_to_others_again(tmp_path: Path) -> None:
    file = tmp_path / secrets.FILE
    secrets.ensure(file, "contender", NOW)
    later = {"kind": "Secret", "metadata": {"name": "contender-later"}, "stringData": {"KEY": "value"}}
    file.write_text(f"{file.read_text()}---\n{yaml.safe_dump(later)}")
    file.chmod(0o644)

    assert not secrets.ensure(file, "contender", NOW)

    assert later in yaml.safe_load_all(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["a: [", "just words", "metadata: {name: contender-secrets}"])
def test_a_file_that_another_changed_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path))
    (tmp_path / secrets.FILE).write_text(text)

    reported = CliRunner().invoke(app, ["secrets"])

    assert reported.exit_code == 42
    assert "`contender secrets`, or was changed since" in reported.stderr
    assert (tmp_path / secrets.FILE).read_text() == text


def test_one_secret_can_be_requested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path))

    one = CliRunner().invoke(app, ["secrets", "--only", "contender-tls"])

    assert yaml.safe_load(one.stdout)["metadata"]["name"] == "contender-tls"
    assert CliRunner().invoke(app, ["secrets", "--only", "other"]).exit_code == 42
