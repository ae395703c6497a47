"""The facts about this host that matter to virtual machines; `contender.vagrant.checks` evaluates them."""

import platform
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

Version = tuple[int, ...]
LOCK = Path("vagrant/k3s.lock")
NETWORKS = Path("/etc/vbox/networks.conf")
_MIB = 1024 * 1024
_GIB = 1024 * _MIB


@dataclass(frozen=True)
class HostFacts:
    """The host. What is not installed, or cannot be known (the processor's flags on a Mac), is None."""

    system: str
    """linux, darwin or windows."""
    architecture: str
    """amd64, arm64, or the system's own name for another."""
    vagrant: Version | None
    plugins: frozenset[str]
    virtualbox: Version | None
    libvirt: bool
    """Whether libvirt's system service answers."""
    networks_conf: str | None
    addresses: tuple[tuple[str, str], ...]
    """Interfaces and their IPv4 addresses."""
    memory_mib: int
    memory_free_mib: int
    disk_free_gib: float
    cpus: int
    virtualisation: bool | None
    kvm_modules: tuple[str, ...]
    kvm_machines: int
    """How many machines KVM runs now, started by any program."""
    kernel: Version
    lock: str | None
    """The text of vagrant/k3s.lock."""


def gather() -> HostFacts:
    """Query the system and the programs; nothing is changed or downloaded."""
    system = platform.system().lower()
    machine = platform.machine().lower()
    memory = psutil.virtual_memory()
    vagrant = _output("vagrant", "--version")
    modules = tuple(name for name in ("kvm_intel", "kvm_amd") if Path("/sys/module", name).exists())
    return HostFacts(
        system=system,
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        vagrant=version_in(vagrant),
        plugins=frozenset(re.findall(r"^(\S+) \(", _output("vagrant", "plugin", "list") if vagrant else "", re.M)),
        virtualbox=version_in(_output("VBoxManage", "--version")),
        libvirt=bool(_output("virsh", "--connect", "qemu:///system", "version")),
        networks_conf=_text(NETWORKS),
        addresses=tuple(
            (name, address.address)
            for name, found in sorted(psutil.net_if_addrs().items())
            for address in found
            if address.family == socket.AF_INET
        ),
        memory_mib=memory.total // _MIB,
        memory_free_mib=memory.available // _MIB,
        disk_free_gib=shutil.disk_usage(Path.home()).free / _GIB,
        cpus=psutil.cpu_count() or 1,
        virtualisation=flagged(_text(Path("/proc/cpuinfo"))) if system == "linux" and machine == "x86_64" else None,
        kvm_modules=modules,
        kvm_machines=sum(int(_text(Path("/sys/module", name, "refcnt")) or 0) for name in modules),
        kernel=version_in(platform.release()) or (0,),
        lock=_text(LOCK),
    )


def version_in(text: str) -> Version | None:
    """The first version number in the output of a program.

    >>> version_in("Vagrant 2.4.9"), version_in("7.0.20r163906"), version_in("")
    ((2, 4, 9), (7, 0, 20), None)
    """
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else None


def flagged(cpuinfo: str | None) -> bool:
    """Whether the flags of a processor include hardware virtualisation.

    >>> flagged("flags : fpu vmx sse"), flagged("flags : fpu sse")
    (True, False)
    """
    return bool(re.search(r"\b(vmx|svm)\b", cpuinfo or ""))


def _output(*command: str) -> str:
    """The output of a program; empty when it is not installed, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)  # noqa: S603 (fixed words)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
