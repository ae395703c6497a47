"""The command `contender doctor`: a line for each thing looked at, and exit code 42 when one is in the way."""

import re
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contender.cli import doctor
from contender.cli.main import app
from contender.console.findings import Finding
from contender.vagrant import checks
from contender.vagrant.settings import VagrantSettings, load_vagrant_settings
from core.errors import ConfigurationError
from tests.support.paths import REPOSITORY


def variable(name: str) -> str:
    field = VagrantSettings.model_fields[name]
    return str(field.validation_alias or f"CONTENDER_{name.upper()}")


def test_a_port_that_another_has_is_reported_with_the_variable_that_moves_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]

        found = doctor.port(number, "the API", "CONTENDER_API_PORT")

    assert found.level == "fails"
    assert found.remedy == "Set CONTENDER_API_PORT to another port."
    assert doctor.port(number, "the API", "CONTENDER_API_PORT").level == "ok"


def test_a_disk_without_room_is_reported() -> None:
    assert doctor.disk(Path("/here"), 0.3).what == "0.3 GiB are free in /here; 1 is needed."
    assert doctor.disk(Path("/here"), 0.3).level == "fails"
    assert doctor.disk(Path("/here"), 5.0).level == "ok"


def test_what_fails_ends_the_command_with_42(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        checks, "check", lambda host, asked: [Finding("ok", "Fine."), Finding("fails", "Not fine.", "Mend it.")]
    )
    monkeypatch.setattr(doctor.facts, "gather", lambda: None)

    reported = CliRunner().invoke(app, ["doctor", "--vagrant"])

    assert reported.exit_code == 42
    assert re.search(r"ok +Fine\.", reported.output)
    assert re.search(r"fails +Not fine\.\s+Mend it\.", reported.output)
    assert "vagrant up will not work here: 1 of 2 checks fails." in reported.output


def test_without_an_option_it_looks_at_what_the_one_command_run_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTENDER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(doctor, "port", lambda number, what, name: Finding("ok", f"{number} {what}"))

    reported = CliRunner().invoke(app, ["doctor"])

    assert reported.exit_code == 0, reported.output
    assert "8000 the API" in reported.output
    assert "5000 MLflow" in reported.output


def test_a_number_that_the_vagrantfile_refuses_is_refused_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENDER_WORKERS", "12")

    with pytest.raises(ConfigurationError, match="CONTENDER_WORKERS"):
        load_vagrant_settings()


@pytest.mark.parametrize("name", VagrantSettings.model_fields)
def test_every_variable_of_the_machines_is_read_by_the_vagrantfile_and_listed_on_the_page(name: str) -> None:
    vagrantfile = (REPOSITORY / "Vagrantfile").read_text()
    page = (REPOSITORY / "docs" / "vagrant.md").read_text()
    field = VagrantSettings.model_fields[name]
    shown = f"`{field.default}`" if field.default else ""

    assert re.search(rf"^\| `{variable(name)}` \| {shown} \| {re.escape(field.description or '?')} \|$", page, re.M)
    if name != "provider":
        limits = {type(limit).__name__: limit for limit in field.metadata}
        if field.annotation is int:
            low, high = limits["Ge"].ge, limits["Le"].le
            given = re.search(rf'"{name.upper()}", (\d+), (\d+)\.\.([\d_]+)\)', vagrantfile)
            assert given is not None
            assert [int(value) for value in given.groups()] == [field.default, low, high]
        else:
            assert f'setting.call("{name.upper()}"' in vagrantfile
