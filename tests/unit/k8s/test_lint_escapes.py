"""What takes back a rule in another place is found as well."""

from typing import Any

import pytest
import yaml

from k8s import lint
from tests.support.cluster.installations import broken, sound

POD = "Deployment/api:spec.template.spec"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{POD}.hostPID", True, "do without hostPID"),
        (f"{POD}.hostNetwork", True, "do without hostNetwork"),
        (f"{POD}.volumes", [{"name": "all", "hostPath": {"path": "/"}}], "all: hostPath"),
        (f"{POD}.containers.0.securityContext.capabilities.add", ["SYS_ADMIN"], "add no capabilities (SYS_ADMIN)"),
    ],
)
def test_a_pod_that_would_leave_its_room_is_found(path: str, value: Any, message: str) -> None:
    assert any(message in fault for fault in lint.faults(broken(path, value)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{kind: NetworkPolicy, metadata: {name: x, namespace: contender}, spec: {podSelector: {}, egress: [{}]}}",
            "egress",
        ),
        ("{kind: ClusterRoleBinding, metadata: {name: x}, roleRef: {name: cluster-admin}}", "not cluster-admin"),
        (
            "{kind: List, items: [{kind: Secret, metadata: {name: x}, data: {KEY: aGVsbG8=}}]}",
            "take it out of the manifests",
        ),
    ],
)
def test_a_document_that_opens_what_the_others_close_is_found(text: str, message: str) -> None:
    assert any(message in fault for fault in lint.faults([*sound(), yaml.safe_load(text)]))


def test_nothing_rendered_is_no_sound_installation() -> None:
    assert lint.faults([]) == ["There are no documents: the manifests were not rendered."]
