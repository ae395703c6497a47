"""Rules for names of the code that manifests use: settings, and the modules that are started."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Final

from core.config.settings import Settings, variable
from k8s.lint.documents import Document, name_of, pods, strings

_MODULE: Final = re.compile(r"\bpython3? -m ([A-Za-z_][\w.]*)")


@cache
def known() -> frozenset[str]:
    """Every environment variable of the settings."""
    return frozenset(variable(name) for name in Settings.model_fields)


def faults(documents: Sequence[Document]) -> Iterator[str]:
    """Settings and modules that do not exist."""
    for document in documents:
        if document.get("kind") == "ConfigMap":
            yield from _settings(name_of(document), document.get("data") or {})
    for pod in pods(documents):
        for container in pod.all_containers:
            yield from _settings(pod.name, [given["name"] for given in container.get("env", [])])
            texts = [text for part in ("command", "args") for _, text in strings(container.get(part, []))]
            for module in _MODULE.findall(" ".join(texts)):
                if not importable(module):
                    yield f"{pod.name}: python -m {module}: there is no such module."


def _settings(called: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name.startswith("CONTENDER_") and name not in known():
            yield f"{called}: {name} is no setting; see core/config/settings.py."


def importable(module: str) -> bool:
    """Whether Python finds the module.

    >>> importable("core.jobs.runner"), importable("core.jobz"), importable("corn.jobs")
    (True, False, False)
    """
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
