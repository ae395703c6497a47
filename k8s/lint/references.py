"""Rules for references: what a document refers to is among the documents, or is made by `contender secrets`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from contender.cluster import secrets
from core.jobs.clock import SystemClock
from k8s.lint.documents import Document, Pod, name_of, namespace_of, pods, spec_of

_DATA: Final = {"ConfigMap": ("data", "binaryData"), "Secret": ("data", "stringData")}

AT_INSTALL: Final = {("ConfigMap", "clock"): frozenset({"CONTENDER_CLOCK_SINCE"})}
"""What k8s/apply.sh creates once, at the first apply."""


@cache
def generated() -> Mapping[str, frozenset[str]]:
    """The Secrets that `contender secrets` makes, with their keys."""
    made = secrets.manifests("contender", SystemClock())
    return {secret["metadata"]["name"]: frozenset(secret["stringData"]) for secret in made}


def faults(documents: Sequence[Document]) -> Iterator[str]:
    """References to what does not exist, and selectors that select nothing."""
    started = list(pods(documents))
    known = _named(documents)
    for pod in started:
        yield from _pod(pod, known)
    for document in documents:
        yield from _selectors(document, started)
        yield from _targets(document, known)


def _named(documents: Sequence[Document]) -> dict[tuple[str, str, str], frozenset[str]]:
    """Kind, namespace and name of every document, with the keys of its data."""
    return {
        (document["kind"], namespace_of(document), document["metadata"]["name"]): frozenset(
            key for part in _DATA.get(document["kind"], ()) for key in document.get(part) or {}
        )
        for document in documents
        if "kind" in document and "name" in document.get("metadata", {})
    }


def _keys(kind: str, namespace: str, name: str, known: Mapping[tuple[str, str, str], frozenset[str]]) -> Any:
    """The keys of a ConfigMap or Secret; None when there is none of that name."""
    keys = known.get((kind, namespace, name))
    if keys is None and kind == "Secret":
        return generated().get(name)
    return AT_INSTALL.get((kind, name)) if keys is None else keys


def _pod(pod: Pod, known: Mapping[tuple[str, str, str], frozenset[str]]) -> Iterator[str]:
    for kind, name, key in _required(pod):
        keys = _keys(kind, pod.namespace, name, known)
        if keys is None:
            yield f"{pod.name}: it refers to {kind}/{name}, which is not there; add it, or correct the name."
        elif key and key not in keys:
            yield f"{pod.name}: {kind}/{name} has no key {key}; it has {', '.join(sorted(keys)) or 'none'}."
    for volume in pod.spec.get("volumes", []):
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim and ("PersistentVolumeClaim", pod.namespace, claim) not in known:
            yield f"{pod.name}: it refers to PersistentVolumeClaim/{claim}, which is not there."
    volumes = {volume["name"] for volume in pod.spec.get("volumes", [])} | pod.claims
    for container in pod.all_containers:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{pod.name}: it mounts the volume {mount['name']}, which it does not have."
    account = pod.spec.get("serviceAccountName", "default")
    if account != "default" and ("ServiceAccount", pod.namespace, account) not in known:
        yield f"{pod.name}: it runs as ServiceAccount/{account}, which is not there."


def _required(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and key (None: all keys) of the ConfigMaps and Secrets that a pod cannot start without."""
    for container in pod.all_containers:
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source and not source[field].get("optional"):
                    yield kind, source[field]["name"], None
        for variable in container.get("env", []):
            given = variable.get("valueFrom", {})
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field in given and not given[field].get("optional"):
                    yield kind, given[field]["name"], given[field]["key"]
    for volume in pod.spec.get("volumes", []):
        for field, kind, called in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            source = volume.get(field)
            if source and not source.get("optional"):
                yield kind, source[called], None
                yield from ((kind, source[called], item["key"]) for item in source.get("items", []))


def _selectors(document: Document, started: Sequence[Pod]) -> Iterator[str]:
    namespace = namespace_of(document)
    for what, selector in _selecting(document):
        if not any(_selects(selector, pod) for pod in started if pod.namespace == namespace):
            yield f"{name_of(document)}: its {what} selects no pod of the namespace {namespace}: {dict(selector)}."


def _selecting(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each selector of a document over pods of its own namespace, without empty ones, which select every pod."""
    kind, spec = document.get("kind"), spec_of(document)
    if kind == "Service" and spec.get("selector"):
        yield "selector", {"matchLabels": spec["selector"]}
    elif kind == "PodDisruptionBudget":
        yield "selector", spec.get("selector", {})
    elif kind == "NetworkPolicy":
        if spec.get("podSelector"):
            yield "podSelector", spec["podSelector"]
        for direction, ends in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction) or []:
                for peer in rule.get(ends) or []:
                    if peer.get("podSelector") and "namespaceSelector" not in peer:
                        yield f"{direction} podSelector", peer["podSelector"]


def _selects(selector: Mapping[str, Any], pod: Pod) -> bool:
    """Whether a label selector matches a pod, by the rules of the API server."""
    labels = pod.labels
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        value, operator, values = labels.get(rule["key"]), rule["operator"], rule.get("values", [])
        matches = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not matches[operator]:
            return False
    return True


def _targets(document: Document, known: Mapping[tuple[str, str, str], frozenset[str]]) -> Iterator[str]:
    """References of autoscalers and ingresses."""
    kind, spec, namespace = document.get("kind"), spec_of(document), namespace_of(document)
    if kind == "HorizontalPodAutoscaler":
        target = spec.get("scaleTargetRef", {})
        if (target.get("kind"), namespace, target.get("name")) not in known:
            yield f"{name_of(document)}: it scales {target.get('kind')}/{target.get('name')}, which is not there."
    elif kind == "Ingress":
        paths = [path for rule in spec.get("rules", []) for path in rule.get("http", {}).get("paths", [])]
        for name in (tls.get("secretName") for tls in spec.get("tls", [])):
            if name and _keys("Secret", namespace, name, known) is None:
                yield f"{name_of(document)}: its certificate is in Secret/{name}, which is not there."
        backends = [spec.get("defaultBackend", {}), *(path.get("backend", {}) for path in paths)]
        for backend in backends:
            service = backend.get("service", {}).get("name")
            if service and ("Service", namespace, service) not in known:
                yield f"{name_of(document)}: it leads to Service/{service}, which is not there."
