"""What would keep `vagrant up` from working on this host, before it downloads anything: from facts to findings.

The rules come from VirtualBox's manual, Vagrant's issues, and the Vagrantfile and its steps.
"""

import ipaddress
from collections.abc import Iterator

from contender.console.findings import Finding
from contender.vagrant.facts import HostFacts, Version
from contender.vagrant.settings import VagrantSettings

K3D = "Take k3d instead, which runs the same cluster in containers: make cluster-up"
NETWORK = ipaddress.ip_network("192.168.56.0/24")
DEFAULT_RANGE = "192.168.56.0/21"  # all that VirtualBox allows since 6.1.28 without a networks.conf
_RANGES_SINCE: Version = (6, 1, 28)
_ARCHITECTURES_SINCE: Version = (2, 4)  # earlier ones take the architecture that is the box's default
_ARM64_SINCE: Version = (7, 1, 6)  # of VirtualBox, by the documentation of the box
_KVM_AT_LOAD_SINCE: Version = (6, 12)  # since then Linux gives virtualisation to KVM when the module is loaded
_CONTROL_GIB, _WORKER_GIB, _BOX_GIB = 12, 6, 2  # what step 1 requires of a machine's disk, and an estimate of the box
_HOST_MIB = 1024  # left to the host itself


def check(host: HostFacts, wanted: VagrantSettings) -> list[Finding]:
    """Every finding, in the order in which `vagrant up` would fail by them."""
    provider = provider_of(host, wanted)
    return [
        *_vagrant(host),
        *_provider(host, provider),
        *_architecture(host, wanted, provider),
        *_virtualisation(host, provider),
        *_network(host, wanted, provider),
        *_memory(host, wanted),
        *_processors(host, wanted),
        *_disk(host, wanted),
        *_pins(host, wanted),
    ]


def provider_of(host: HostFacts, wanted: VagrantSettings) -> str:
    """The provider that `vagrant up` takes: the one that is set, else the first that is installed."""
    only_libvirt = host.virtualbox is None and "vagrant-libvirt" in host.plugins
    return wanted.provider or ("libvirt" if only_libvirt else "virtualbox")


def addresses(wanted: VagrantSettings) -> list[str]:
    """The addresses of the machines, as the Vagrantfile gives them.

    >>> addresses(VagrantSettings(workers=2))
    ['192.168.56.10', '192.168.56.21', '192.168.56.22']
    """
    return ["192.168.56.10", *(f"192.168.56.{20 + n}" for n in range(1, wanted.workers + 1))]


def _vagrant(host: HostFacts) -> Iterator[Finding]:
    if host.vagrant is None:
        yield Finding("fails", "Vagrant is not installed.", "https://developer.hashicorp.com/vagrant/install")
    elif host.vagrant < (2, 3, 4):
        yield Finding("fails", f"Vagrant {_dotted(host.vagrant)} is too old: 2.3.4 is needed.", "Install a newer one.")
    elif host.vagrant < _ARCHITECTURES_SINCE and host.architecture != "arm64":
        yield Finding(
            "warning",
            f"Vagrant {_dotted(host.vagrant)} cannot choose a box's architecture and may take one for arm64.",
            "Install Vagrant 2.4 or later.",
        )
    else:
        yield Finding("ok", f"Vagrant {_dotted(host.vagrant)}.")


def _provider(host: HostFacts, provider: str) -> Iterator[Finding]:
    if provider == "libvirt":
        if "vagrant-libvirt" not in host.plugins:
            yield Finding(
                "fails",
                "Vagrant has no plugin for libvirt.",
                "apt-get install vagrant-libvirt, or: vagrant plugin install vagrant-libvirt",
            )
        elif not host.libvirt:
            yield Finding(
                "fails",
                "libvirt does not answer at qemu:///system.",
                "Start libvirtd, and be a member of the group libvirt.",
            )
        else:
            yield Finding("ok", "libvirt answers, and Vagrant has its plugin.")
    elif provider != "virtualbox":
        yield Finding(
            "fails",
            f"The Vagrantfile knows no provider {provider}.",
            "VAGRANT_DEFAULT_PROVIDER=virtualbox, or libvirt.",
        )
    elif host.virtualbox is None:
        yield Finding(
            "fails",
            "Neither VirtualBox nor libvirt with Vagrant's plugin is installed.",
            f"Install VirtualBox, or on Linux vagrant-libvirt. {K3D}",
        )
    elif host.virtualbox >= (7, 1) and host.vagrant is not None and host.vagrant < (2, 4, 2):
        yield Finding(
            "fails",
            f"Vagrant {_dotted(host.vagrant)} does not know VirtualBox {_dotted(host.virtualbox)}.",
            "Install a newer Vagrant.",
        )
    else:
        yield Finding("ok", f"VirtualBox {_dotted(host.virtualbox)}.")


def _architecture(host: HostFacts, wanted: VagrantSettings, provider: str) -> Iterator[Finding]:
    if host.architecture not in ("amd64", "arm64"):
        yield Finding("fails", f"k3s and the box are pinned for amd64 and arm64, not {host.architecture}.", K3D)
    elif host.architecture == "amd64":
        yield Finding("ok", "The processor is amd64.")
    elif host.vagrant is not None and host.vagrant < _ARCHITECTURES_SINCE and not (wanted.box or wanted.box_url):
        yield Finding(
            "fails",
            f"Vagrant {_dotted(host.vagrant)} cannot request a box for arm64.",
            f"Install Vagrant 2.4 or later. {K3D}",
        )
    elif host.system == "darwin" and provider != "virtualbox":
        yield Finding("fails", "On a Mac only VirtualBox is supported.", K3D)
    elif provider == "virtualbox" and host.virtualbox is not None and host.virtualbox < _ARM64_SINCE:
        yield Finding(
            "fails",
            f"VirtualBox {_dotted(host.virtualbox)} runs no machine for arm64.",
            f"Install 7.1.6 or later. {K3D}",
        )
    else:
        yield Finding("warning", "Machines for arm64 are tested less.", f"If one does not boot: {K3D}")


def _virtualisation(host: HostFacts, provider: str) -> Iterator[Finding]:
    if host.virtualisation is False:
        yield Finding(
            "fails",
            "The processor offers no hardware virtualisation.",
            "Switch VT-x or AMD-V on in the firmware, or nested in the hypervisor.",
        )
    elif host.virtualisation:
        yield Finding("ok", "The processor offers hardware virtualisation.")
    modules = " ".join(host.kvm_modules)
    if provider == "virtualbox" and host.kvm_machines:
        yield Finding(
            "fails",
            f"KVM runs {host.kvm_machines} machines, and VirtualBox cannot start beside them.",
            "Stop them, or VAGRANT_DEFAULT_PROVIDER=libvirt.",
        )
    elif provider == "virtualbox" and modules and host.kernel >= _KVM_AT_LOAD_SINCE:
        yield Finding(
            "warning",
            f"Linux {_dotted(host.kernel[:2])} gives hardware virtualisation to KVM as soon as {modules} is loaded.",
            f"When a machine does not start (VERR_VMX_IN_VMX_ROOT_MODE): sudo modprobe -r {modules}",
        )


def _network(host: HostFacts, wanted: VagrantSettings, provider: str) -> Iterator[Finding]:
    ours = ("vboxnet", "bridge") if provider == "virtualbox" else ("virbr",)  # "bridge": VirtualBox 7 on a Mac
    others = [
        (name, address)
        for name, address in host.addresses
        if ipaddress.ip_address(address) in NETWORK and not (name.startswith(ours) and address not in addresses(wanted))
    ]
    for name, address in others:
        yield Finding(
            "fails",
            f"The interface {name} has {address}, in the network of the machines, {NETWORK}.",
            "Take it down while the machines run"
            + (", or use the provider that made it." if name.startswith(("vboxnet", "virbr")) else "."),
        )
    if provider == "virtualbox" and host.system != "windows" and (host.virtualbox or (0,)) >= _RANGES_SINCE:
        allowed = allowed_ranges(host.networks_conf)
        outside = [a for a in addresses(wanted) if not any(ipaddress.ip_address(a) in range_ for range_ in allowed)]
        if outside:
            yield Finding(
                "fails",
                f"/etc/vbox/networks.conf does not allow {', '.join(outside)}.",
                f"Add this line to it: * {DEFAULT_RANGE}",
            )
            return
    if not others:
        yield Finding("ok", f"{NETWORK} is free and allowed.")


def allowed_ranges(networks_conf: str | None) -> list[ipaddress.IPv4Network]:
    r"""The IPv4 ranges that VirtualBox gives to host-only networks; other lines of networks.conf are ignored.

    >>> [str(range_) for range_ in allowed_ranges("# ours\n* 10.0.0.0/8 192.168.0.0/16\n* 2001::/64\n")]
    ['10.0.0.0/8', '192.168.0.0/16']
    """
    lines = [f"* {DEFAULT_RANGE}"] if networks_conf is None else networks_conf.splitlines()
    found = []
    for line in lines:
        star, *ranges = line.split() or [""]
        for text in ranges if star == "*" else []:
            try:
                network = ipaddress.ip_network(text, strict=False)
            except ValueError:
                continue
            if isinstance(network, ipaddress.IPv4Network):
                found.append(network)
    return found


def _memory(host: HostFacts, wanted: VagrantSettings) -> Iterator[Finding]:
    machines = wanted.workers + 1
    needed = machines * wanted.node_memory
    text = f"{machines} machines of {wanted.node_memory} MiB need {needed} MiB"
    if needed > host.memory_mib - _HOST_MIB:
        yield Finding("fails", f"{text}; this host has {host.memory_mib}.", f"A smaller CONTENDER_NODE_MEMORY. {K3D}")
    elif needed > host.memory_free_mib:
        yield Finding("warning", f"{text}; {host.memory_free_mib} are free now.", "Close large programs.")
    else:
        yield Finding("ok", f"{text}; {host.memory_free_mib} are free.")


def _processors(host: HostFacts, wanted: VagrantSettings) -> Iterator[Finding]:
    text = f"Each machine needs {wanted.node_cpus} processors; this host has {host.cpus}"
    if wanted.node_cpus > host.cpus:
        yield Finding("fails", f"{text}.", "A smaller CONTENDER_NODE_CPUS.")
    elif wanted.node_cpus * (wanted.workers + 1) > host.cpus:
        yield Finding("warning", f"{text}, which the machines will share.", "It works, and takes longer.")
    else:
        yield Finding("ok", f"{text}.")


def _disk(host: HostFacts, wanted: VagrantSettings) -> Iterator[Finding]:
    needed = _CONTROL_GIB + _WORKER_GIB * wanted.workers + _BOX_GIB
    text = f"The machines grow to about {needed} GiB; {host.disk_free_gib:.0f} are free in the home folder"
    if host.disk_free_gib < needed:
        yield Finding("fails", f"{text}.", "Free some, or give Vagrant another folder: VAGRANT_HOME.")
    else:
        yield Finding("ok", f"{text}.")


def _pins(host: HostFacts, wanted: VagrantSettings) -> Iterator[Finding]:
    if host.lock is None:
        yield Finding(
            "fails", "There is no vagrant/k3s.lock here.", "Run this in the checkout, where the Vagrantfile is."
        )
        return
    lines = [line.split() for line in host.lock.splitlines() if line.strip() and not line.startswith("#")]
    version = next((words[1] for words in lines if words[0] == "version" and len(words) > 1), "VERSION")
    pinned = {words[1] for words in lines if len(words) == 2 and len(words[0]) == 64}
    needed = ["k3s-arm64" if host.architecture == "arm64" else "k3s"]
    if wanted.k3s_airgap == "yes":
        needed.append(f"k3s-airgap-images-{host.architecture}.tar.zst")
    missing = [name for name in needed if name not in pinned]
    if missing:
        yield Finding(
            "fails", f"vagrant/k3s.lock pins no checksum of {', '.join(missing)}.", f"vagrant/pin.sh {version}"
        )
    else:
        yield Finding("ok", f"k3s {version} is pinned.")


def _dotted(version: Version) -> str:
    return ".".join(str(part) for part in version)
