"""The files that a person's Vagrant and shell read: valid for both providers, clean, and pinned."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cluster.machine import REPOSITORY
from tests.support.cluster.release_host import VERSION, ReleaseHost

SCRIPTS = sorted(
    path
    for folder in ("vagrant", "scripts", "k8s", ".ci")
    for path in (REPOSITORY / folder).rglob("*")
    if path.is_file() and (path.suffix == ".sh" or path.parent.name == ".ci")
)


def vagrant(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Calls Debian's Vagrant, with a VBoxManage that says its version: `validate` asks no more of it."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "VBoxManage").write_text("#!/bin/sh\necho 7.0.20r163906\n")
    (tools / "VBoxManage").chmod(0o755)
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(folder), "VAGRANT_HOME": str(folder / "home")}
    return subprocess.run(
        ["vagrant", *words], cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Vagrantfile in a folder of its own: it makes a token beside itself."""
    shutil.copy(REPOSITORY / "Vagrantfile", tmp_path)
    return tmp_path


@pytest.mark.parametrize("provider", ["virtualbox", "libvirt"])
def test_the_vagrantfile_is_valid(checkout: Path, provider: str) -> None:
    done = vagrant(checkout, "validate", VAGRANT_DEFAULT_PROVIDER=provider, CONTENDER_WORKERS="3")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("provider", ["virtualbox", "libvirt"])
def test_what_is_wrong_for_a_provider_is_found(checkout: Path, provider: str) -> None:
    file = checkout / "Vagrantfile"
    file.write_text(file.read_text().replace(f"{provider}.memory,", f"{provider}.no_such_setting,"))

    done = vagrant(checkout, "validate", VAGRANT_DEFAULT_PROVIDER=provider)

    assert done.returncode != 0
    assert "no_such_setting" in done.stdout + done.stderr


def test_the_workers_come_first_and_the_control_plane_is_the_one_that_ssh_means(checkout: Path) -> None:
    done = vagrant(
        checkout, "status", "--machine-readable", VAGRANT_DEFAULT_PROVIDER="virtualbox", CONTENDER_WORKERS="2"
    )

    names = [line.split(",")[1] for line in done.stdout.splitlines() if ",metadata,provider" in line]
    assert names == ["worker-1", "worker-2", "control"]


def test_the_join_token_is_made_once_and_only_its_owner_reads_it(checkout: Path) -> None:
    token = checkout / ".vagrant" / "contender-token"

    vagrant(checkout, "validate", VAGRANT_DEFAULT_PROVIDER="virtualbox")
    first = token.read_text()
    vagrant(checkout, "validate", VAGRANT_DEFAULT_PROVIDER="virtualbox")

    assert token.read_text() == first
    assert len(first) == 64
    assert token.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"CONTENDER_WORKERS": "0"}, "CONTENDER_WORKERS must be a whole number from 1 to 9."),
        ({"CONTENDER_NODE_MEMORY": "2g"}, "CONTENDER_NODE_MEMORY must be a whole number from 2048 to 65536."),
        ({"CONTENDER_BOX_URL": "file:///box"}, "CONTENDER_BOX_URL needs CONTENDER_BOX_CHECKSUM"),
    ],
    ids=["workers", "memory", "box"],
)
def test_what_cannot_work_is_told_before_anything_is_downloaded(
    checkout: Path, variables: dict[str, str], said: str
) -> None:
    done = vagrant(checkout, "up", VAGRANT_DEFAULT_PROVIDER="virtualbox", **variables)

    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    done = subprocess.run(["shellcheck", "-x", script], cwd=REPOSITORY, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", sorted((REPOSITORY / "vagrant").glob("*.sh")), ids=lambda path: path.name)
def test_every_step_stops_at_its_first_failure(script: Path) -> None:
    if script.name != "lib.sh":
        assert "\nset -euo pipefail\n" in script.read_text()
        assert script.stat().st_mode & 0o111


def pin(folder: Path, releases: ReleaseHost, *words: str) -> subprocess.CompletedProcess[str]:
    shutil.copytree(REPOSITORY / "vagrant", folder / "vagrant", dirs_exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "CONTENDER_K3S_RELEASES": releases.url}
    return subprocess.run(
        ["vagrant/pin.sh", *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


def test_another_version_is_pinned_by_the_checksums_of_its_release(tmp_path: Path, releases: ReleaseHost) -> None:
    done = pin(tmp_path, releases, VERSION)

    written = (tmp_path / "vagrant" / "k3s.lock").read_text().splitlines()
    kept = (REPOSITORY / "vagrant" / "k3s.lock").read_text().splitlines()
    assert done.returncode == 0, done.stderr
    assert [line for line in written if line.startswith("#")] == [line for line in kept if line.startswith("#")]
    assert sorted(line for line in written if not line.startswith("#")) == sorted(releases.lock().splitlines())


def test_a_release_without_a_checksum_leaves_the_pins_as_they_were(tmp_path: Path, releases: ReleaseHost) -> None:
    releases.files["sha256sum-arm64.txt"] = b""

    done = pin(tmp_path, releases, VERSION)

    assert done.returncode != 0
    assert "has no checksum of k3s-arm64; vagrant/k3s.lock stays as it was" in done.stderr
    assert (tmp_path / "vagrant" / "k3s.lock").read_bytes() == (REPOSITORY / "vagrant" / "k3s.lock").read_bytes()


def test_without_a_version_it_says_what_it_wants(tmp_path: Path, releases: ReleaseHost) -> None:
    assert pin(tmp_path, releases).returncode == 2
    assert "Which version?" in pin(tmp_path, releases, "latest").stderr
