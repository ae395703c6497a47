"""A lint of rendered manifests, for the rules of this project that no schema contains.

`kubectl kustomize k8s/overlays/k3d | python -m k8s.lint` prints a line for each fault, and exits 1 when there is one.
"""

from collections.abc import Sequence

from k8s.lint import jobs, pods, references, safety, words
from k8s.lint.documents import Document, flattened

RULES = (jobs, pods, references, safety, words)


def faults(documents: Sequence[Document]) -> list[str]:
    """The faults of documents that are applied together: a sentence each, with the remedy."""
    flat = flattened(documents)
    if not flat:
        return ["There are no documents: the manifests were not rendered."]
    return [fault for rule in RULES for fault in rule.faults(flat)]
