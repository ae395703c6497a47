"""A Debian in a folder, made by debootstrap from this machine's own package source, in which the steps run as root.

There is no systemd in a chroot: `systemctl` is a stand-in that writes down how it was called.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import REPOSITORY

SUITE = "bookworm"
SYSTEMCTL = """\
#!/bin/sh
# Stands for systemctl: enabled and active is what was enabled and started.
echo "$*" >>/var/log/systemctl-calls
for unit; do :; done
case "$*" in
  *is-enabled*) [ -e "/run/enabled-$unit" ] ;;
  *is-active*) [ -e "/run/active-$unit" ] ;;
  *enable*) touch "/run/enabled-$unit" ;;
  *restart*) touch "/run/active-$unit" ;;
esac
"""
BUILDAH = """\
#!/bin/sh
# Stands for buildah: an image is the text that the test laid out; `run` answers with a Secret.
echo "$*" >>/var/log/buildah-calls
case "$1" in
  bud) cat /etc/stand-in/build; [ ! -e /etc/stand-in/build-fails ] ;;
  inspect) sha256sum </etc/stand-in/build | cut -c 1-64 ;;
  push) file=${4#docker-archive:}; cp /etc/stand-in/build "${file%%:*}" ;;
  from) echo working-container ;;
  run) printf 'kind: Secret\\nname: %s\\n' "$(echo "$*" | grep -o 'only .*')" ;;
esac
"""


def package_source() -> str:
    """The address of the Debian mirror that this machine itself installs from."""
    for file in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        text = file.read_text() if file.is_file() else ""
        found = re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?) *(https?://\S*debian/?)(?=\s|$)", text, re.M)
        if found:
            return found[1]
    raise LookupError("/etc/apt names no Debian mirror, and debootstrap needs one")


def debian(folder: Path) -> Path:
    """A bare Debian with curl, as a box has it; without iproute2, so that the first step has something to install."""
    command = ["debootstrap", "--variant=minbase", "--include=curl,ca-certificates", SUITE, folder, package_source()]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    return folder


class Machine:
    """One chroot. `run` is what a provisioner of the Vagrantfile does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.variables = {
            "CONTROL_IP": "127.0.0.1",
            "NODE_IP": "127.0.0.1",  # the one address that a chroot surely has
            "NODE_NAME": "worker-1",
            "FIRST_WORKER_IP": "127.0.0.1",
            "WORKERS": "1",
        }
        self.write("/usr/local/bin/systemctl", SYSTEMCTL, 0o755)
        self.write("/usr/local/bin/buildah", BUILDAH, 0o755)
        for name in ("vagrant", "k8s"):
            shutil.copytree(REPOSITORY / name, self.path(f"/srv/contender/{name}"))

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def lines(self, inside: str) -> list[str]:
        path = self.path(inside)
        return path.read_text().splitlines() if path.exists() else []

    def run(self, step: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a step as root, with the environment that the Vagrantfile gives it."""
        return self.call(f"/srv/contender/vagrant/{step}", *arguments, environment=self.variables | variables)

    def call(self, *command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            ["chroot", self.root, *command],
            env={"PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def tidy(self) -> None:
        """Takes out what __init__ laid in, for a machine made above this one."""
        shutil.rmtree(self.path("/srv/contender"))

    def state(self) -> dict[str, tuple[int, int]]:
        """Every file that a step may write, with its inode and time of change: equal when nothing was touched."""
        found = {}
        for folder in ("/etc", "/usr/local", "/var/lib/rancher", "/var/lib/contender"):
            for path in sorted(self.path(folder).rglob("*")):
                if path.is_file() and not path.is_symlink():
                    about = path.stat()
                    found[str(path.relative_to(self.root))] = (about.st_ino, about.st_mtime_ns)
        return found


@contextmanager
def machine(base: Path, folder: Path) -> Iterator[Machine]:
    """A Debian of which only what changes is new: in memory, above the base, and gone when the block ends."""
    changes, root = folder / "changes", folder / "root"
    changes.mkdir()
    root.mkdir()
    mounted: list[Path] = []

    def mount(kind: str, target: Path, options: str = "") -> None:
        with_options = ["-o", options] if options else []
        subprocess.run(["mount", "-t", kind, *with_options, kind, target], check=True)
        mounted.append(target)

    try:
        mount("tmpfs", changes)
        for name in ("upper", "work"):
            (changes / name).mkdir()
        mount("overlay", root, f"lowerdir={base},upperdir={changes}/upper,workdir={changes}/work")
        mount("proc", root / "proc")
        mount("tmpfs", root / "run")
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        yield Machine(root)
    finally:
        for target in reversed(mounted):
            subprocess.run(["umount", target], check=True)
