"""Rules for pods: their privileges, their resources, their probes, and pinned images."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from k8s.lint.documents import SERVING, Document, Pod, pods

OURS: Final = re.compile(r"(localhost(:\d+)?/)?contender(:(?P<tag>[^@/]+))?(@sha256:[0-9a-f]{64})?")
"""The image that is built here and loaded into the cluster: as no registry has it, it has no digest to pin."""
_PINNED: Final = re.compile(r"[^@\s]+:(?P<tag>[^@:/\s]+)@sha256:[0-9a-f]{64}")
_BINDINGS: Final = ("RoleBinding", "ClusterRoleBinding")


def faults(documents: Sequence[Document]) -> Iterator[str]:
    """The faults of the pods that the documents would start."""
    bound = _bound_accounts(documents)
    for pod in pods(documents):
        yield from _token(pod, bound)
        yield from _machine(pod)
        for container in pod.all_containers:
            called = f"{pod.name} container {container.get('name', 'main')}"
            yield from _image(called, container.get("image", ""))
            yield from _resources(called, container.get("resources", {}))
            yield from _security(called, pod.spec.get("securityContext", {}), container.get("securityContext", {}))
        if pod.kind in SERVING:
            for container in pod.containers:
                yield from _probes(f"{pod.name} container {container.get('name', 'main')}", container)


def _image(called: str, image: str) -> Iterator[str]:
    ours = OURS.fullmatch(image)
    if ours is not None:
        if ours["tag"] in (None, "latest"):
            yield f"{called}: give the image {image!r} a tag that is not latest (images: newTag in the overlay)."
        return
    pinned = _PINNED.fullmatch(image)
    if pinned is None or pinned["tag"] == "latest":
        yield f"{called}: pin the image {image!r} by tag and digest, NAME:TAG@sha256:…; it comes from a registry."


def _resources(called: str, resources: Mapping[str, Any]) -> Iterator[str]:
    for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if not resources.get(kind, {}).get(what):
            yield f"{called}: set resources.{kind}.{what}."


def _security(called: str, pod: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[str]:
    # A container's security context overrides the pod's, key by key.
    inherited = {**pod, **container}
    if inherited.get("runAsNonRoot") is not True:
        yield f"{called}: set runAsNonRoot: true."
    if not inherited.get("runAsUser"):
        yield f"{called}: set runAsUser to the uid that it runs as, not 0."
    if container.get("readOnlyRootFilesystem") is not True:
        yield f"{called}: set readOnlyRootFilesystem: true, and mount what it writes to."
    if container.get("allowPrivilegeEscalation") is not False:
        yield f"{called}: set allowPrivilegeEscalation: false."
    if "ALL" not in container.get("capabilities", {}).get("drop", []):
        yield f"{called}: drop the capabilities [ALL]."
    if inherited.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{called}: set seccompProfile: {{type: RuntimeDefault}}."
    if added := container.get("capabilities", {}).get("add"):
        yield f"{called}: add no capabilities ({', '.join(added)})."
    if container.get("privileged"):
        yield f"{called}: do not run it privileged."


def _machine(pod: Pod) -> Iterator[str]:
    """What would give a pod access to its node."""
    for key in ("hostPID", "hostNetwork", "hostIPC"):
        if pod.spec.get(key):
            yield f"{pod.name}: do without {key}."
    for volume in pod.spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"{pod.name}: take a claim in place of the machine's own folder ({volume['name']}: hostPath)."


def _probes(called: str, container: Mapping[str, Any]) -> Iterator[str]:
    for probe in ("readinessProbe", "livenessProbe"):
        if not container.get(probe):
            yield f"{called}: give it a {probe}; it runs until it is deleted."


def _token(pod: Pod, bound: frozenset[tuple[str, str]]) -> Iterator[str]:
    account = pod.spec.get("serviceAccountName", "default")
    if (pod.namespace, account) not in bound and pod.spec.get("automountServiceAccountToken") is not False:
        yield (
            f"{pod.name}: set automountServiceAccountToken: false; "
            f"no RoleBinding lets its service account {account!r} do anything."
        )


def _bound_accounts(documents: Sequence[Document]) -> frozenset[tuple[str, str]]:
    """Namespace and name of the service accounts that some binding names."""
    return frozenset(
        (subject.get("namespace") or document.get("metadata", {}).get("namespace", "default"), subject["name"])
        for document in documents
        if document.get("kind") in _BINDINGS
        for subject in document.get("subjects") or []
        if subject.get("kind") == "ServiceAccount"
    )
