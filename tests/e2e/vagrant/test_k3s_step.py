"""The steps that every machine takes, in a Debian of its own: what is downloaded is checked before it is installed."""

import stat

import pytest

from tests.support.cluster.machine import Machine
from tests.support.cluster.release_host import VERSION, ReleaseHost, sha256

K3S = "/usr/local/bin/k3s"
TOKEN = "ab" * 32
UPLOADED = "/home/vagrant/contender-token"
IMAGES = "/var/lib/rancher/k3s/agent/images/k3s-airgap-images-amd64.tar.zst"


def settings(node: Machine) -> list[str]:
    return [line for line in node.lines("/etc/rancher/k3s/config.yaml") if not line.startswith("#")]


def assert_nothing_installed(node: Machine) -> None:
    assert not node.path(K3S).exists()
    assert not node.path("/etc/rancher/k3s/config.yaml").exists()
    assert not node.path("/etc/systemd/system/k3s-agent.service").exists()
    assert not [name for name in node.state() if name.endswith((".part", ".new"))]
    assert not [call for call in node.lines("/var/log/systemctl-calls") if "restart" in call]


def test_missing_packages_are_installed_once(booted: Machine) -> None:
    first = booted.run("10-node.sh", "agent")
    again = booted.run("10-node.sh", "agent")

    assert first.returncode == again.returncode == 0, first.stderr
    assert "Installing iproute2" in first.stdout
    assert "Installing" not in again.stdout


def test_the_token_is_for_root_only_and_does_not_stay_where_it_was_uploaded(node: Machine) -> None:
    node.write(UPLOADED, TOKEN)

    done = node.run("20-token.sh", UPLOADED)

    kept = node.path("/etc/rancher/k3s/token")
    assert done.returncode == 0, done.stderr
    assert kept.read_text() == TOKEN
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert not node.path(UPLOADED).exists()
    assert TOKEN not in done.stdout + done.stderr
    assert node.run("20-token.sh", UPLOADED).returncode == 0, "a machine that has a token needs no upload"


@pytest.mark.parametrize("other", ["cd" * 32, "no token", "ab" * 31])
def test_another_token_than_the_one_it_joined_with_is_refused(node: Machine, other: str) -> None:
    node.write(UPLOADED, TOKEN)
    assert node.run("20-token.sh", UPLOADED).returncode == 0
    node.write(UPLOADED, other)

    refused = node.run("20-token.sh", UPLOADED)

    assert refused.returncode != 0
    assert "vagrant destroy && vagrant up" in refused.stderr
    assert node.path("/etc/rancher/k3s/token").read_text() == TOKEN
    assert not node.path(UPLOADED).exists()


def test_a_file_with_the_pinned_checksum_is_installed_as_a_service(node: Machine, releases: ReleaseHost) -> None:
    done = node.run("30-k3s.sh", "agent")

    assert done.returncode == 0, done.stderr
    assert node.path(K3S).read_bytes() == releases.files["k3s"]
    assert node.path(K3S).stat().st_mode & 0o111
    assert settings(node) == [
        "token-file: /etc/rancher/k3s/token",
        "node-name: worker-1",
        "node-ip: 127.0.0.1",
        "flannel-iface: lo",
        "server: https://127.0.0.1:6443",
    ]
    unit = node.lines("/etc/systemd/system/k3s-agent.service")
    assert "ExecStart=/usr/local/bin/k3s agent" in unit
    assert "WantedBy=multi-user.target" in unit
    assert node.lines("/var/log/systemctl-calls")[0] == "daemon-reload"
    assert "enable --quiet k3s-agent" in node.lines("/var/log/systemctl-calls")
    assert releases.asked == ["k3s"]


def test_the_control_plane_is_a_server_and_answers_before_the_step_ends(node: Machine) -> None:
    done = node.run("30-k3s.sh", "server", NODE_NAME="control")

    assert done.returncode == 0, done.stderr
    assert settings(node)[-3:] == [
        "advertise-address: 127.0.0.1",
        "tls-san: [127.0.0.1]",
        'write-kubeconfig-mode: "0600"',
    ]
    assert "k3s kubectl get --raw /readyz" in node.lines("/var/log/k3s-calls")
    assert "The control plane answers: after 0 s." in done.stdout


def test_a_second_run_changes_nothing(node: Machine, releases: ReleaseHost) -> None:
    assert node.run("30-k3s.sh", "agent", AIRGAP="yes").returncode == 0
    before, asked = node.state(), list(releases.asked)

    again = node.run("30-k3s.sh", "agent", AIRGAP="yes")

    assert again.returncode == 0, again.stderr
    assert node.state() == before
    assert releases.asked == asked
    assert [call for call in node.lines("/var/log/systemctl-calls") if "restart" in call] == [
        "--no-block restart k3s-agent"
    ]


def test_a_file_with_another_checksum_is_refused_and_nothing_is_left(node: Machine, releases: ReleaseHost) -> None:
    releases.files["k3s"] += b"# and something that nobody pinned\n"

    refused = node.run("30-k3s.sh", "agent")

    assert refused.returncode != 0
    assert "is not what was pinned" in refused.stderr
    assert_nothing_installed(node)


def test_a_download_that_is_cut_installs_nothing_and_the_next_run_mends_it(
    node: Machine, releases: ReleaseHost
) -> None:
    releases.cut = True
    failed = node.run("30-k3s.sh", "agent")
    assert failed.returncode != 0
    assert "did not arrive in full; nothing was installed" in failed.stderr
    assert len(releases.asked) > 1, "it tries again by itself"
    assert_nothing_installed(node)

    releases.cut = False
    mended = node.run("30-k3s.sh", "agent")

    assert mended.returncode == 0, mended.stderr
    assert node.path(K3S).read_bytes() == releases.files["k3s"]


def test_a_step_that_died_after_installing_goes_on_where_it_was(node: Machine, releases: ReleaseHost) -> None:
    node.write("/usr/local/bin/systemctl", "#!/bin/sh\nexit 1\n", 0o755)
    assert node.run("30-k3s.sh", "agent").returncode != 0
    node.write("/usr/local/bin/systemctl", '#!/bin/sh\necho "$*" >>/var/log/systemctl-calls\n', 0o755)

    mended = node.run("30-k3s.sh", "agent")

    assert mended.returncode == 0, mended.stderr
    assert releases.asked == ["k3s"], "what was installed is not downloaded again"


def test_the_air_gap_images_lie_where_k3s_looks_for_them(node: Machine, releases: ReleaseHost) -> None:
    done = node.run("30-k3s.sh", "agent", AIRGAP="yes")

    assert done.returncode == 0, done.stderr
    assert node.path(IMAGES).read_bytes() == releases.files["k3s-airgap-images-amd64.tar.zst"]


def test_wrong_air_gap_images_keep_k3s_from_being_installed(node: Machine, releases: ReleaseHost) -> None:
    releases.files["k3s-airgap-images-amd64.tar.zst"] = b"something else"

    refused = node.run("30-k3s.sh", "agent", AIRGAP="yes")

    assert "is not what was pinned" in refused.stderr
    assert_nothing_installed(node)
    assert not node.path(IMAGES).exists()


def test_without_a_pin_nothing_is_even_asked_for(node: Machine, releases: ReleaseHost) -> None:
    node.write("/srv/contender/vagrant/k3s.lock", f"version {VERSION}\n")

    refused = node.run("30-k3s.sh", "agent")

    assert refused.returncode != 0
    assert f"vagrant/pin.sh {VERSION}" in refused.stderr
    assert releases.asked == []


def test_another_pin_replaces_k3s_and_starts_it_anew(node: Machine, releases: ReleaseHost) -> None:
    assert node.run("30-k3s.sh", "agent").returncode == 0
    releases.files["k3s"] += b"# the next release\n"
    node.write("/srv/contender/vagrant/k3s.lock", releases.lock())

    done = node.run("30-k3s.sh", "agent")

    assert done.returncode == 0, done.stderr
    assert sha256(node.path(K3S).read_bytes()) == sha256(releases.files["k3s"])
    assert node.lines("/var/log/systemctl-calls").count("--no-block restart k3s-agent") == 2


def test_an_arm64_machine_takes_the_files_of_its_architecture(node: Machine, releases: ReleaseHost) -> None:
    node.write("/usr/local/bin/dpkg", "#!/bin/sh\necho arm64\n", 0o755)

    done = node.run("30-k3s.sh", "agent", AIRGAP="yes")

    assert done.returncode == 0, done.stderr
    assert releases.asked == ["k3s-airgap-images-arm64.tar.zst", "k3s-arm64"]
    assert node.path(K3S).read_bytes() == releases.files["k3s-arm64"]


def test_a_machine_without_its_address_is_told_apart_before_anything_is_downloaded(
    node: Machine, releases: ReleaseHost
) -> None:
    refused = node.run("30-k3s.sh", "agent", NODE_IP="192.0.2.21")

    assert refused.returncode != 0
    assert "No interface of this machine has the address 192.0.2.21" in refused.stderr
    assert releases.asked == []
