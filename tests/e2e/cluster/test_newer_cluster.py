"""What only a cluster of today can show: failure policies, the autoscaler, network policies, jobs that clean up.

KUBECONFIG names it (k3d, minikube). With CLUSTER_JOIN=1 the tests use the system that is installed there.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.cluster import kube


def settled(job: str) -> str | None:
    """How a job ended: `Complete`, or the reason of its failure; None while it is at work."""
    for condition in kube.seen("job", job).get("status", {}).get("conditions", []):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return str(condition["type"] if condition["type"] == "Complete" else condition["reason"])
    return None


@contextmanager
def job(command: str, labels: dict[str, str] | None = None, **changes: Any) -> Iterator[str]:
    """A job as the CronJob `checkpoint` makes it, with another command; gone at the end."""
    name = f"newer-{uuid.uuid4().hex[:8]}"
    made = json.loads(
        kube.kubectl("create", "job", name, "--from=cronjob/checkpoint", "--dry-run=client", "-o", "json")
    )
    made["metadata"] = {"name": name, "namespace": kube.NAMESPACE}
    made["spec"].update(changes)
    template = made["spec"]["template"]
    template["metadata"]["labels"] = {"app.kubernetes.io/name": name, **(labels or {})}
    template["spec"].pop("initContainers", None)
    template["spec"]["containers"][0]["command"] = ["sh", "-c", command]
    kube.kubectl("apply", "-f", "-", given=json.dumps(made))
    try:
        yield name
    finally:
        kube.kubectl("delete", "job", name, "--ignore-not-found", "--wait=false")


def asks(host: str, port: int) -> str:
    """A command that ends with 0 when the port can be reached, else with 42, once the policies know of its pod."""
    return f"sleep 5; python -c \"import socket; socket.create_connection(('{host}', {port}), 5)\" || exit 42"


@pytest.mark.parametrize("code", [42, 43])
def test_a_job_whose_error_stays_is_failed_at_the_first_pod(code: int) -> None:
    with job(f"exit {code}") as name:
        assert kube.wait_for("the job has failed", lambda: settled(name)) == "PodFailurePolicy"

        assert kube.seen("job", name)["status"]["failed"] == 1


def test_a_job_that_asks_for_another_try_gets_it() -> None:
    with job("exit 75", backoffLimit=1) as name:
        assert kube.wait_for("the job has failed", lambda: settled(name), 180) == "BackoffLimitExceeded"

        assert kube.seen("job", name)["status"]["failed"] == 2


def test_a_job_that_has_ended_is_cleared_away() -> None:
    with job("exit 0", ttlSecondsAfterFinished=1) as name:
        kube.wait_for(
            "the job is gone", lambda: not kube.kubectl("get", "job", name, "--ignore-not-found", check=False), 90
        )


def test_the_autoscaler_knows_what_the_api_takes() -> None:
    def knows() -> bool:
        status = kube.seen("hpa", "api").get("status", {})
        active = {each["type"]: each["status"] for each in status.get("conditions", [])}
        return active.get("ScalingActive") == "True" and bool(status.get("currentMetrics"))

    assert kube.wait_for("the autoscaler has a figure of the API", knows, 240)
    assert kube.seen("hpa", "api")["status"]["currentReplicas"] >= 2


@pytest.mark.parametrize(
    ("label", "host", "port"),
    [("uses-postgres", "postgres", 5432), ("uses-mlflow", "mlflow", 5000), ("uses-services", "features", 8001)],
)
def test_a_pod_reaches_what_it_says_that_it_uses_and_nothing_else(label: str, host: str, port: int) -> None:
    with job(asks(host, port), {label: "true"}) as name:
        assert kube.wait_for("a pod with the label is done", lambda: settled(name)) == "Complete"

    with job(asks(host, port)) as name:
        assert kube.wait_for("a pod without the label is done", lambda: settled(name)) == "PodFailurePolicy"


def test_a_pod_that_uses_no_internet_does_not_reach_it() -> None:
    with job(asks("1.1.1.1", 443)) as name:
        assert kube.wait_for("the pod is done", lambda: settled(name)) == "PodFailurePolicy"
