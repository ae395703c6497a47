"""Tests that want root, debootstrap, shellcheck and Debian's vagrant: run when they are named (`make vagrant-test`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster.machine import Machine, debian, machine
from tests.support.cluster.release_host import ReleaseHost, release_host

FOLDER = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Passes these tests over, unless the command line names this folder or a file in it."""
    named = (Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args)
    return None if any(path == FOLDER or FOLDER in path.parents for path in named) else True


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare Debian, made once a session."""
    return debian(tmp_path_factory.mktemp("debian") / "root")


@pytest.fixture(scope="session")
def with_packages(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same after the first step, which installs packages from Debian: once a session too."""
    with machine(bare, tmp_path_factory.mktemp("packages")) as made:
        done = made.run("10-node.sh", "agent")
        assert done.returncode == 0, done.stderr
        made.tidy()
        yield made.root


@pytest.fixture
def releases() -> Iterator[ReleaseHost]:
    """The host of k3s's releases, on loopback."""
    with release_host() as host:
        yield host


@pytest.fixture
def booted(bare: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine that has booted for the first time."""
    with machine(bare, tmp_path) as made:
        yield made


@pytest.fixture
def node(with_packages: Path, tmp_path: Path, releases: ReleaseHost) -> Iterator[Machine]:
    """A machine whose packages are there, pinned to what the stand-in releases."""
    with machine(with_packages, tmp_path) as made:
        made.write("/srv/contender/vagrant/k3s.lock", releases.lock())
        made.variables["RELEASES"] = releases.url
        yield made
