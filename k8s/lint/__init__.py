"""Our own lint over rendered manifests: what a schema cannot know, because it is a decision of this project.

`kubectl kustomize k8s/overlays/k3d | python -m k8s.lint` prints a line a fault, and exits 1 when there is one.
"""

from collections.abc import Sequence

from k8s.lint import jobs, pods, references, safety, words
from k8s.lint.documents import Document, flattened

RULES = (jobs, pods, references, safety, words)


def faults(documents: Sequence[Document]) -> list[str]:
    """What is wrong with a set of documents that are applied together: a sentence each, with what to do."""
    flat = flattened(documents)
    if not flat:
        return ["There is nothing to look at: the manifests were not rendered."]
    return [fault for rule in RULES for fault in rule.faults(flat)]
