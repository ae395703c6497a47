"""What `vagrant up` would run into, told from facts: one finding for each thing that can be in the way."""

from dataclasses import replace
from typing import Any

import pytest

from contender.console.findings import Finding
from contender.vagrant.checks import check
from contender.vagrant.facts import HostFacts
from contender.vagrant.settings import VagrantSettings
from tests.support.paths import REPOSITORY

LOCK = (REPOSITORY / "vagrant" / "k3s.lock").read_text()
LAPTOP = HostFacts(
    system="linux",
    architecture="amd64",
    vagrant=(2, 4, 9),
    plugins=frozenset(),
    virtualbox=(7, 0, 20),
    libvirt=False,
    networks_conf=None,
    addresses=(("lo", "127.0.0.1"), ("wlan0", "192.168.1.20"), ("vboxnet0", "192.168.56.1")),
    memory_mib=32_000,
    memory_free_mib=24_000,
    disk_free_gib=100.0,
    cpus=8,
    virtualisation=True,
    kvm_modules=(),
    kvm_machines=0,
    kernel=(6, 1),
    lock=LOCK,
)
LIBVIRT = replace(
    LAPTOP,
    virtualbox=None,
    plugins=frozenset({"vagrant-libvirt"}),
    libvirt=True,
    addresses=(("virbr1", "192.168.56.1"),),
)
MAC = replace(LAPTOP, system="darwin", architecture="arm64", virtualbox=(7, 1, 8), virtualisation=None)


def findings(host: HostFacts, **asked: Any) -> list[Finding]:
    return check(host, VagrantSettings.model_construct(**(VagrantSettings.model_construct().model_dump() | asked)))


def bad(host: HostFacts, **asked: Any) -> list[tuple[str, str]]:
    return [(finding.level, finding.what) for finding in findings(host, **asked) if finding.level != "ok"]


@pytest.mark.parametrize("host", [LAPTOP, LIBVIRT], ids=["virtualbox", "libvirt"])
def test_a_laptop_that_has_everything_has_only_ok_findings(host: HostFacts) -> None:
    assert bad(host) == []
    assert len(findings(host)) == 9


@pytest.mark.parametrize(
    ("host", "asked", "level", "what"),
    [
        (replace(LAPTOP, vagrant=None), {}, "fails", "Vagrant is not installed."),
        (replace(LAPTOP, vagrant=(2, 2, 19)), {}, "fails", "Vagrant 2.2.19 is too old: 2.3.4 is needed."),
        (
            replace(LAPTOP, vagrant=(2, 3, 4)),
            {},
            "warning",
            "Vagrant 2.3.4 cannot choose a box's architecture and may take one for arm64.",
        ),
        (
            replace(LAPTOP, virtualbox=None),
            {},
            "fails",
            "Neither VirtualBox nor libvirt with Vagrant's plugin is installed.",
        ),
        (
            replace(LAPTOP, virtualbox=(7, 1, 2), vagrant=(2, 4, 1)),
            {},
            "fails",
            "Vagrant 2.4.1 does not know VirtualBox 7.1.2.",
        ),
        (replace(LAPTOP, addresses=()), {"provider": "hyperv"}, "fails", "The Vagrantfile knows no provider hyperv."),
        (replace(LIBVIRT, libvirt=False), {}, "fails", "libvirt does not answer at qemu:///system."),
        (
            replace(LIBVIRT, plugins=frozenset()),
            {"provider": "libvirt"},
            "fails",
            "Vagrant has no plugin for libvirt.",
        ),
        (
            replace(LAPTOP, architecture="riscv64"),
            {},
            "fails",
            "k3s and the box are pinned for amd64 and arm64, not riscv64.",
        ),
        (replace(LAPTOP, virtualisation=False), {}, "fails", "The processor offers no hardware virtualisation."),
        (
            replace(LAPTOP, kvm_modules=("kvm_intel",), kvm_machines=2),
            {},
            "fails",
            "KVM runs 2 machines, and VirtualBox cannot start beside them.",
        ),
        (
            replace(LAPTOP, kvm_modules=("kvm_amd",), kernel=(6, 12, 48)),
            {},
            "warning",
            "Linux 6.12 gives hardware virtualisation to KVM as soon as kvm_amd is loaded.",
        ),
        (
            replace(LAPTOP, addresses=(("eth0", "192.168.56.7"),)),
            {},
            "fails",
            "The interface eth0 has 192.168.56.7, in the network of the machines, 192.168.56.0/24.",
        ),
        (
            replace(LAPTOP, addresses=(("vboxnet0", "192.168.56.10"),)),
            {},
            "fails",
            "The interface vboxnet0 has 192.168.56.10, in the network of the machines, 192.168.56.0/24.",
        ),
        (
            replace(LIBVIRT, addresses=(("vboxnet0", "192.168.56.1"),)),
            {},
            "fails",
            "The interface vboxnet0 has 192.168.56.1, in the network of the machines, 192.168.56.0/24.",
        ),
        (
            replace(LAPTOP, networks_conf="# ours\n* 10.0.0.0/8\n"),
            {"workers": 2},
            "fails",
            "/etc/vbox/networks.conf does not allow 192.168.56.10, 192.168.56.21, 192.168.56.22.",
        ),
        (
            replace(LAPTOP, memory_mib=8_000, memory_free_mib=6_000),
            {},
            "fails",
            "2 machines of 4096 MiB need 8192 MiB; this host has 8000.",
        ),
        (
            replace(LAPTOP, memory_free_mib=5_000),
            {},
            "warning",
            "2 machines of 4096 MiB need 8192 MiB; 5000 are free now.",
        ),
        (replace(LAPTOP, cpus=1), {}, "fails", "Each machine needs 2 processors; this host has 1."),
        (
            replace(LAPTOP, cpus=2),
            {},
            "warning",
            "Each machine needs 2 processors; this host has 2, which the machines will share.",
        ),
        (
            replace(LAPTOP, disk_free_gib=11.0),
            {"workers": 2},
            "fails",
            "The machines grow to about 26 GiB; 11 are free in the home folder.",
        ),
        (replace(LAPTOP, lock=None), {}, "fails", "There is no vagrant/k3s.lock here."),
        (
            replace(LAPTOP, lock="version v1.99.1+k3s1\n"),
            {"k3s_airgap": "yes"},
            "fails",
            "vagrant/k3s.lock pins no checksum of k3s, k3s-airgap-images-amd64.tar.zst.",
        ),
        (MAC, {}, "warning", "Machines for arm64 are tested less."),
        (replace(MAC, virtualbox=(7, 0, 20)), {}, "fails", "VirtualBox 7.0.20 runs no machine for arm64."),
        (
            replace(
                MAC,
                system="linux",
                vagrant=(2, 3, 7),
                virtualbox=None,
                plugins=LIBVIRT.plugins,
                libvirt=True,
                addresses=(),
            ),
            {},
            "fails",
            "Vagrant 2.3.7 cannot request a box for arm64.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value not in ("fails", "warning") else "",
)
def test_what_is_in_the_way_is_reported_with_what_to_do(host: HostFacts, asked: Any, level: str, what: str) -> None:
    assert bad(host, **asked) == [(level, what)]
    assert all(finding.remedy for finding in findings(host, **asked) if finding.level != "ok")


def test_on_apple_silicon_whatever_fails_points_to_k3d_before_anything_is_downloaded() -> None:
    without = replace(MAC, virtualbox=None)

    failing = [finding for finding in findings(without) if finding.level == "fails"]

    assert failing
    assert all("make cluster-up" in finding.remedy for finding in failing)


def test_a_networks_conf_that_allows_the_machines_is_enough() -> None:
    assert bad(replace(LAPTOP, networks_conf="* 192.168.0.0/16 10.0.0.0/8\nnonsense\n* nonsense\n")) == []


def test_an_old_virtualbox_allows_every_range() -> None:
    assert bad(replace(LAPTOP, virtualbox=(6, 1, 26), networks_conf="* 10.0.0.0/8\n")) == []
