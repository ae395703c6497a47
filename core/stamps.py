"""Stamps: what a pickled model depends on, so that no environment unpickles what another has written."""

import hashlib
import platform
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

_PICKLED_WITH = ("numpy", "river", "scikit-learn")


@lru_cache(maxsize=8)
def stamp(modules: tuple[str, ...]) -> str:
    """Python, the libraries, and the code of the named modules, in which the pickled classes are."""
    major, minor, _ = platform.python_version_tuple()
    libraries = " ".join(f"{name} {version(name)}" for name in _PICKLED_WITH)
    return f"python {major}.{minor} {libraries} code {code(modules)}"


@lru_cache(maxsize=8)
def code(modules: tuple[str, ...]) -> str:
    """Eight digits that name the code of the named modules."""
    return hashlib.sha256(b"".join(_sources(modules))).hexdigest()[:8]


def _sources(modules: Iterable[str]) -> Iterable[bytes]:
    for module in modules:
        spec = find_spec(module)
        assert spec is not None, module  # noqa: S101 (a module of ours)
        assert spec.origin is not None, module  # noqa: S101
        yield Path(spec.origin).read_bytes()
