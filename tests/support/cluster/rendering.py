"""Everything below k8s/ that kustomize builds, found by its kustomization.yaml and rendered by `kubectl kustomize`."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.support.paths import REPOSITORY

K8S = REPOSITORY / "k8s"
Documents = list[dict[str, Any]]


def _described() -> dict[str, dict[str, Any]]:
    return {
        file.parent.relative_to(K8S).as_posix(): yaml.safe_load(file.read_text())
        for file in sorted(K8S.rglob("kustomization.yaml"))
    }


def _is_remote(description: dict[str, Any]) -> bool:
    return any(str(resource).startswith("https:") for resource in description.get("resources", []))


def _is_within_base(name: str, description: dict[str, Any]) -> bool:
    return description.get("kind") == "Component" and not name.startswith("components/")


FOLDERS = [
    name
    for name, description in _described().items()
    if not _is_remote(description) and not _is_within_base(name, description)
]
"""Those that need no internet: overlays, components and the rest, but for what comes with the base."""
REMOTE = [name for name, description in _described().items() if _is_remote(description)]


@cache
def _rendered(name: str) -> str:
    folder = K8S / name
    if _described()[name].get("kind") != "Component":
        return _kustomize(folder)
    return _on_base([folder])


def _on_base(components: list[Path]) -> str:
    with TemporaryDirectory() as made:
        here = Path(made).resolve()
        whole = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "contender",
            "resources": [os.path.relpath(K8S / "base", here)],
            "components": [os.path.relpath(folder, here) for folder in components],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(whole))
        return _kustomize(here)


def _kustomize(folder: Path) -> str:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if document]
    return json.dumps(documents)


def rendered(name: str) -> Documents:
    """The documents of a folder; of a component, those of the base with it. Anew for each caller."""
    documents: Documents = json.loads(_rendered(name))
    return documents


def installed(name: str) -> Documents:
    """What is in the cluster when a folder is applied: what does not bring the system with it is added to the base."""
    documents = rendered(name)
    if any(document["kind"] == "Namespace" for document in documents):
        return documents
    return [*rendered("base"), *documents]


def together(names: list[str]) -> Documents:
    """The base with several components."""
    documents: Documents = json.loads(_on_base([K8S / name for name in names]))
    return documents
