"""Rendered Kubernetes documents as the lint needs them: their names, and the pods that they would start."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Document = Mapping[str, Any]

SERVING: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
"""Kinds whose pods run until they are deleted."""
_TEMPLATED: Final = SERVING | {"Job"}
_WORKFLOWS: Final = frozenset({"Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"})


@dataclass(frozen=True)
class Pod:
    """A pod that a document would start. `name` is for messages: kind/name, and the template of a workflow."""

    name: str
    kind: str
    namespace: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    claims: frozenset[str] = field(default_factory=frozenset)
    """Volumes that the document creates for each of its pods."""

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """The containers, without the init containers."""
        found: Sequence[Mapping[str, Any]] = self.spec.get("containers", [])
        return found

    @property
    def all_containers(self) -> Sequence[Mapping[str, Any]]:
        """The init containers, then the others."""
        return [*self.spec.get("initContainers", []), *self.containers]


def name_of(document: Document) -> str:
    """The name of a document in messages.

    >>> name_of({"kind": "Service", "metadata": {"name": "api"}})
    'Service/api'
    """
    return f"{document.get('kind', '?')}/{document.get('metadata', {}).get('name', '?')}"


def namespace_of(document: Document) -> str:
    """The namespace of a document; `default` when it names none."""
    namespace: str = document.get("metadata", {}).get("namespace", "default")
    return namespace


def spec_of(document: Document) -> Mapping[str, Any]:
    """The `spec`, empty when there is none."""
    return document.get("spec") or {}


def flattened(documents: Iterable[Document | None]) -> list[Document]:
    """The documents without empty ones, and with the items of each List in its place."""
    found: list[Document] = []
    for document in documents:
        if document and document.get("kind") == "List":
            found += flattened(document.get("items") or [])
        elif document:
            found.append(document)
    return found


def job_spec(document: Document) -> Mapping[str, Any] | None:
    """The spec of a Job, or of the Jobs that a CronJob starts."""
    if document.get("kind") == "Job":
        return spec_of(document)
    if document.get("kind") == "CronJob":
        template: Mapping[str, Any] = spec_of(document).get("jobTemplate", {})
        return template.get("spec") or {}
    return None


def workflow_spec(document: Document) -> Mapping[str, Any] | None:
    """The spec of an Argo workflow, or of the workflows that a CronWorkflow starts."""
    if document.get("kind") == "CronWorkflow":
        return spec_of(document).get("workflowSpec") or {}
    return spec_of(document) if document.get("kind") in _WORKFLOWS else None


def pods(documents: Sequence[Document]) -> Iterator[Pod]:
    """Every pod that the documents would start; one for each template of an Argo workflow."""
    for document in documents:
        kind, metadata = document.get("kind", ""), document.get("metadata", {})
        if kind == "Pod":
            yield Pod(name_of(document), kind, namespace_of(document), metadata.get("labels", {}), spec_of(document))
        elif kind in _TEMPLATED or kind == "CronJob":
            spec = job_spec(document) or spec_of(document)  # a CronJob's is one level deeper
            template = spec.get("template", {})
            labels = template.get("metadata", {}).get("labels", {})
            claims = frozenset(made["metadata"]["name"] for made in spec.get("volumeClaimTemplates", []))
            yield Pod(name_of(document), kind, namespace_of(document), labels, template.get("spec") or {}, claims)
        else:
            yield from _workflow_pods(document)


def _workflow_pods(document: Document) -> Iterator[Pod]:
    """A pod for each template, composed of the workflow's fields and the template's as Argo's executor does it."""
    spec = workflow_spec(document)
    if spec is None:
        return
    shared = {key: spec[key] for key in ("serviceAccountName", "automountServiceAccountToken") if key in spec}
    everywhere = spec.get("podMetadata", {}).get("labels", {})
    for template in spec.get("templates", []):
        if "container" not in template:
            continue
        own = {key: template[key] for key in (*shared, "initContainers") if key in template}
        pod = {
            **shared,
            **own,
            "containers": [template["container"]],
            "securityContext": {**spec.get("securityContext", {}), **template.get("securityContext", {})},
            "volumes": [*spec.get("volumes", []), *template.get("volumes", [])],
        }
        labels = {**everywhere, **template.get("metadata", {}).get("labels", {})}
        claims = frozenset(made["metadata"]["name"] for made in spec.get("volumeClaimTemplates", []))
        name = f"{name_of(document)} template {template.get('name', '?')}"
        yield Pod(name, document["kind"], namespace_of(document), labels, pod, claims)


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string within a value, with the path to it.

    >>> list(strings({"a": [{"b": "c"}]}))
    [('.a[0].b', 'c')]
    """
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from strings(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from strings(inner, f"{path}[{index}]")
