"""What the tests of one installation on a cluster have in common: its services and jobs, and a row to learn."""

from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support.cluster import kube

SERVICES = (
    "statefulset/postgres",
    "statefulset/api",
    "deployment/mlflow",
    "deployment/features",
    "deployment/ingestion",
)


@dataclass
class Installed:
    """What was measured when the system was put onto the cluster, in seconds from `kubectl apply`."""

    ready: float = 0.0
    first_prediction: float = 0.0
    memory: dict[str, float] = field(default_factory=dict)


MEASURED = Installed()

JOBS = {
    "ingest-spy": "GSPC from sample: nothing new",
    "train": "nothing to do",
    "promote": "nothing to do",
    "predict": "spy 2019-01-02",
    "monitor": "stale",
    "checkpoint": "every learner is",
    "backup": "1 are kept",
    "stream-airline": "airline 1949-01: predicted None, was 112",
}


def learn(number: int) -> dict[str, Any]:
    """Sends one row to learn from, again and again until it is acknowledged."""
    row = {"id": f"fault-{number}", "features": {"x": float(number)}, "target": 2.0 * number}
    headers = {"Authorization": f"Bearer {kube.secret('CONTENDER_TRAINER_TOKEN')}", "Connection": "close"}

    def send() -> dict[str, Any] | None:
        try:
            response = requests.post(f"{kube.API}/predict_learn", json=row, headers=headers, timeout=5)
        except requests.RequestException:
            return None
        return response.json() if response.status_code in (200, 201) else None

    told = kube.wait_for(f"row {number} is learned", send, 120, every=0.5)
    assert told is not None
    return told
