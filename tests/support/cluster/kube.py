"""The cluster that KUBECONFIG names, as the tests use it: kubectl, jobs, SQL, and the API on its NodePort."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import requests

from tests.support.paths import REPOSITORY

T = TypeVar("T")
Change = Callable[[dict[str, Any]], None]
NAMESPACE = "contender"
NODE = os.environ.get("CLUSTER_NODE", "127.0.0.1")
IMAGE = os.environ.get("CLUSTER_IMAGE", "contender:0.1.0")
API = f"http://{NODE}:30951"
_PSQL = (
    'exec /opt/postgres/bin/psql "$(echo "$CONTENDER_DATABASE_URL" | sed "s/+psycopg2//; s/@postgres:/@127.0.0.1:/")" '
    '--no-psqlrc --tuples-only --no-align --set=ON_ERROR_STOP=1 --command "$1"'
)


def kubectl(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """What kubectl prints."""
    done = subprocess.run(
        ["kubectl", "-n", NAMESPACE, *arguments], input=given, capture_output=True, text=True, timeout=300
    )
    assert not (check and done.returncode), f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
    return done.stdout.strip()


def seen(*arguments: str) -> Any:
    """What the cluster has, as JSON."""
    return json.loads(kubectl("get", *arguments, "--output=json"))


def pods(name: str) -> list[dict[str, Any]]:
    """The pods of a service or a job, by its name."""
    found: list[dict[str, Any]] = seen("pods", f"--selector=app.kubernetes.io/name={name}")["items"]
    return found


def uids(name: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods(name)}


def restarts(name: str) -> int:
    return sum(status["restartCount"] for pod in pods(name) for status in pod["status"].get("containerStatuses", []))


def is_ready(kind: str, name: str) -> bool:
    """Whether all replicas asked for are there, new and Ready."""
    found = seen(kind, name)
    status, wanted = found["status"], found["spec"]["replicas"]
    is_seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
    counts = [status.get(name, 0) for name in ("readyReplicas", "updatedReplicas")]
    return is_seen and counts == [wanted, wanted]


def wait_for(what: str, ask: Callable[[], T], seconds: float = 120, every: float = 1.0) -> T:
    """What `ask` returns when it is something; fails with `what` when it is nothing for so long."""
    deadline = time.monotonic() + seconds
    while True:
        found = ask()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{state()}"
        time.sleep(every)


def wait_until_ready(*names: str, seconds: float = 240) -> None:
    for name in names:
        kind, _, bare = name.partition("/")
        wait_for(f"{name} is Ready", lambda kind=kind, bare=bare: is_ready(kind, bare), seconds)  # type: ignore[misc]


def state() -> str:
    """What a person would look at when something is stuck."""
    return "\n".join(
        [
            kubectl("get", "pods,jobs", "--output=wide", check=False),
            *kubectl("get", "events", "--sort-by=.lastTimestamp", check=False).splitlines()[-15:],
        ]
    )


def sql(statement: str) -> list[str]:
    """The rows that a statement gives, each as text with | between its columns."""
    printed = kubectl("exec", "postgres-0", "--", "sh", "-c", _PSQL, "sql", statement)
    return [line for line in printed.splitlines() if line]


def count(table: str, where: str = "true") -> int:
    return int(sql(f"SELECT count(*) FROM {table} WHERE {where}")[0])


def asked(path: str = "/predictionForTomorrow", **options: Any) -> dict[str, Any]:
    """What the API answers on its NodePort; raises when it does not answer 200."""
    response = requests.get(f"{API}{path}", timeout=5, headers={"Connection": "close"}, **options)
    response.raise_for_status()
    told: dict[str, Any] = response.json()
    return told


def secret(key: str) -> str:
    return kubectl("get", "secret", "contender-secrets", "--output", f"go-template={{{{.data.{key} | base64decode}}}}")


def start_job(cronjob: str, change: Change | None = None) -> str:
    """Starts a Job from a CronJob, as `kubectl create job --from` does (which knows no old clusters). Returns its name.

    `change` edits its manifest.
    """
    name = f"{cronjob}-{uuid.uuid4().hex[:6]}"
    spec = seen("cronjob", cronjob)["spec"]["jobTemplate"]["spec"]
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
    if change is not None:
        change(manifest)
    kubectl("create", "--validate=false", "-f", "-", given=json.dumps(manifest))
    return name


def command(*words: str) -> Change:
    """A change of a Job: what its container runs."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["spec"]["template"]["spec"]["containers"][0]["command"] = list(words)

    return change


def job_pods(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = seen("pods", f"--selector=job-name={job}")["items"]
    return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])


def exit_codes(job: str) -> list[int]:
    """The exit codes of a Job's pods that have ended, oldest first."""
    ended = [
        status["state"]["terminated"]["exitCode"]
        for pod in job_pods(job)
        for status in pod["status"].get("containerStatuses", [])
        if "terminated" in status["state"]
    ]
    return [int(code) for code in ended]


def finished(job: str) -> str:
    """Complete, Failed, or nothing while it runs."""
    conditions = seen("job", job)["status"].get("conditions", [])
    return next((c["type"] for c in conditions if c["status"] == "True" and c["type"] in ("Complete", "Failed")), "")


def log_of(job: str) -> str:
    return kubectl("logs", f"job/{job}", "--all-containers", check=False)


def run_job(cronjob: str, *words: str, seconds: float = 240) -> str:
    """Runs a Job from a CronJob to its end, which must be a good one. Returns what its container logged."""
    job = start_job(cronjob, command(*words) if words else None)
    outcome = wait_for(f"{job} ends", lambda: finished(job), seconds)
    assert outcome == "Complete", log_of(job)
    return kubectl("logs", f"job/{job}", "--container=job")


@contextmanager
def forwarded(service: str, port: int) -> Iterator[str]:
    """A service of the cluster on a free port of this machine, by `kubectl port-forward`."""
    process = subprocess.Popen(
        ["kubectl", "-n", NAMESPACE, "port-forward", f"service/{service}", f":{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "Forwarding from 127.0.0.1:" in line, line
        yield f"http://127.0.0.1:{line.split('127.0.0.1:')[1].split(' ')[0]}"
    finally:
        process.terminate()
        process.wait()
        process.communicate()


def restore(name: str = "") -> str:
    """Puts a backup back, as a person would. Returns what is printed."""
    script = str(REPOSITORY / "k8s" / "restore.sh")
    done = subprocess.run([script, *([name] if name else [])], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def apply(overlay: str, home: Path, also: Sequence[str] = ()) -> None:
    """What a person types: k8s/apply.sh OVERLAY IMAGE."""
    done = subprocess.run(
        [str(REPOSITORY / "k8s" / "apply.sh"), overlay, *also],
        env={**os.environ, "CONTENDER_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
