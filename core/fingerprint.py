"""Which code made a model, and which environment can load what was pickled.

The code version is the commit of the checkout it runs from, or what the settings declare of an installed copy. The
environment fingerprint names what a pickled model depends on, so that no environment unpickles what another wrote.
"""

import hashlib
import platform
import subprocess
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

_GIT_SECONDS = 10
_PICKLED_WITH = ("numpy", "river", "scikit-learn")


def code_version(declared: str) -> str:
    """`declared` where it is given, else the commit (`-dirty` when files were changed since), else the release."""
    return declared or _commit(Path(__file__).parent) or _release()


@lru_cache(maxsize=4)
def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(  # noqa: S603 (fixed arguments)
            command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return described.stdout.strip() if described.returncode == 0 else ""


def _release() -> str:
    try:
        return f"contender {version('contender')}"
    except PackageNotFoundError:
        return "unknown"


@lru_cache(maxsize=8)
def environment_fingerprint(sources: tuple[str, ...]) -> str:
    """Python, the libraries, and the code in which the pickled classes are.

    Args:
        sources: dotted names of our modules; of a package, every module in it counts.
    """
    major, minor, _ = platform.python_version_tuple()
    libraries = " ".join(f"{name} {version(name)}" for name in _PICKLED_WITH)
    return f"python {major}.{minor} {libraries} code {code_hash(sources)}"


@lru_cache(maxsize=8)
def code_hash(sources: tuple[str, ...]) -> str:
    """Eight hexadecimal digits that change when the code of the named modules or packages does."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in _files(sources))).hexdigest()[:8]


def _files(sources: Iterable[str]) -> Iterator[Path]:
    for name in sources:
        spec = find_spec(name)
        assert spec is not None, name  # noqa: S101 (a module of ours)
        assert spec.origin is not None, name  # noqa: S101
        origin = Path(spec.origin)
        # A package is read whole, so that a module added to it cannot be forgotten.
        yield from sorted(origin.parent.glob("*.py")) if spec.submodule_search_locations else [origin]
