"""Rules for an installation: no secret in the manifests, no security switched off, a network policy everywhere."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from k8s.lint.documents import Document, name_of, namespace_of, pods, spec_of, strings

_SECRET_NAME: Final = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|ACCESS_KEY|PRIVATE_KEY|_ROOT_USER$", re.IGNORECASE)
# `$(NAME)` is a variable that Kubernetes fills in from a Secret.
_PASSWORD_IN_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@$]*:(?!\$\()[^/\s@]+@", re.IGNORECASE)
_OPENED: Final = ("--disable-security-middleware", "--auth-mode=server --secure=false", "--insecure-skip-tls-verify")


def faults(documents: Sequence[Document]) -> Iterator[str]:
    """What would make the installation insecure."""
    for document in documents:
        yield from _secrets(document)
        yield from _opened(document)
        yield from _allowed(document)
        if document.get("kind") == "Namespace":
            labels = document.get("metadata", {}).get("labels", {})
            if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
                yield f"{name_of(document)}: label it pod-security.kubernetes.io/enforce: restricted."
    for pod in pods(documents):
        for container in pod.all_containers:
            for variable in container.get("env", []):
                if variable.get("value") and _SECRET_NAME.search(variable["name"]):
                    yield f"{pod.name}: take {variable['name']} from a Secret; its value is in the manifest."
    yield from _default_policies(documents)


def _secrets(document: Document) -> Iterator[str]:
    kind = document.get("kind")
    if kind == "Secret" and (document.get("data") or document.get("stringData")):
        yield f"{name_of(document)}: take it out of the manifests; `contender secrets` makes secrets at install."
    if kind == "ConfigMap":
        for key, value in (document.get("data") or {}).items():
            if value and _SECRET_NAME.search(key):
                yield f"{name_of(document)}: move {key} to a Secret."


def _opened(document: Document) -> Iterator[str]:
    for path, text in strings(document):
        for option in _OPENED:
            if option in text:
                yield f"{name_of(document)}: remove {option} at {path}."
        if _PASSWORD_IN_URL.search(text):
            yield f"{name_of(document)}: the address at {path} holds a password; take it from a Secret."


def _allowed(document: Document) -> Iterator[str]:
    """Documents that permit what others forbid."""
    kind = document.get("kind")
    if kind in ("RoleBinding", "ClusterRoleBinding") and document.get("roleRef", {}).get("name") == "cluster-admin":
        yield f"{name_of(document)}: bind a role with the permissions that are needed, not cluster-admin."
    if kind == "NetworkPolicy" and not spec_of(document).get("podSelector"):
        for direction in ("ingress", "egress"):
            if {} in (spec_of(document).get(direction) or []):
                yield f"{name_of(document)}: name the peers and ports ({direction}); an empty rule allows everything."


def _default_policies(documents: Sequence[Document]) -> Iterator[str]:
    """Namespaces without a policy that selects every pod and allows nothing, in both directions."""
    closed = {
        (namespace_of(policy), direction)
        for policy in documents
        if policy.get("kind") == "NetworkPolicy" and not spec_of(policy).get("podSelector")
        for direction in spec_of(policy).get("policyTypes", ["Ingress"])
        if not spec_of(policy).get(direction.lower())
    }
    for namespace in sorted({pod.namespace for pod in pods(documents)}):
        for direction in ("Ingress", "Egress"):
            if (namespace, direction) not in closed:
                yield (
                    f"Namespace/{namespace}: add a NetworkPolicy with podSelector: {{}} and policyTypes: [{direction}] "
                    "that allows nothing; what is needed is then allowed by name."
                )
