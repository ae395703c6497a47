"""Puts the whole system onto the cluster that KUBECONFIG names, once for all tests, which run in order of their names.

CLUSTER_IMAGE names an image that its nodes have or can pull, CLUSTER_NODE the address of one of them (127.0.0.1).
CLUSTER_KEEP=1 leaves everything there at the end. The tests never touch an installation that is there already.
"""

import os
import subprocess
import time
from collections.abc import Iterator

import pytest
import requests

from tests.support.cluster import kube
from tests.support.cluster.installed import MEASURED, SERVICES, Installed

collect_ignore = ["test_newer_cluster.py"]
"""Collected when it is named only: Kubernetes of today is needed for it (.github/workflows/cluster.yml)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name)
    for item in items:
        item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Applies the overlay with generated secrets and waits for the first prediction."""
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG names no cluster: k3d kubeconfig write, or minikube kubectl config"
    there = kube.kubectl("get", "namespace", kube.NAMESPACE, "--ignore-not-found")
    if os.environ.get("CLUSTER_JOIN") == "1":
        yield MEASURED
        return
    assert not there, "The cluster has a namespace `contender` already: test on another, or delete it yourself."
    begun = time.monotonic()
    kube.apply("test", tmp_path_factory.mktemp("home"), [kube.IMAGE])
    kube.wait_for("the API answers on its NodePort", _answers, 600, every=0.5)
    MEASURED.first_prediction = time.monotonic() - begun
    kube.wait_until_ready(*SERVICES)
    yield MEASURED
    if os.environ.get("CLUSTER_KEEP") != "1":
        kube.kubectl("delete", "namespace", kube.NAMESPACE, "--wait=true")


def _answers() -> bool:
    if not MEASURED.ready:
        ready = all(kube.is_ready(*name.split("/")) for name in SERVICES)
        MEASURED.ready = time.monotonic() if ready else 0.0
    try:
        return requests.get(f"{kube.API}/predictionForTomorrow", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED.first_prediction:
        terminalreporter.write_line(f"from kubectl apply to the first prediction: {MEASURED.first_prediction:.0f} s")
    for pod, megabytes in MEASURED.memory.items():
        terminalreporter.write_line(f"memory at rest: {pod:<40} {megabytes:6.0f} MiB")
    if MEASURED.memory:
        terminalreporter.write_line(f"memory at rest: {'all pods':<40} {sum(MEASURED.memory.values()):6.0f} MiB")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Says what the cluster looked like when a test failed."""
    if report.failed and report.when == "call":
        report.sections.append(("the cluster", kube.state()))


def pytest_sessionstart() -> None:
    assert subprocess.run(["kubectl", "version", "--client"], capture_output=True).returncode == 0, "kubectl is missing"
