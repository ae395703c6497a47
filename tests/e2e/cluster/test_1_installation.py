"""From nothing to the first prediction, and what the pods may do."""

import json
import subprocess

import pytest

from tests.support.cluster import kube
from tests.support.cluster.installed import SERVICES, Installed

RUNNING = ("postgres", "mlflow", "api", "features", "ingestion")


def test_everything_becomes_ready(installed: Installed) -> None:
    kube.wait_until_ready(*SERVICES)

    assert {name: kube.restarts(name) for name in RUNNING} == dict.fromkeys(RUNNING, 0)
    assert len(kube.pods("api")) == 2


def test_both_tasks_went_from_ingestion_to_a_served_champion() -> None:
    kube.wait_for("the bootstrap ends", lambda: kube.finished("bootstrap"), 300)

    assert kube.finished("bootstrap") == "Complete", kube.log_of("bootstrap")
    told = kube.asked()
    assert (told["model_name"], told["model_source"], told["model_alias"]) == ("spy", "mlflow", "champion")
    assert told["prediction"] in ("UP", "DOWN")
    assert told["data_source"] == "sample"
    airline = kube.wait_for("airline is served", lambda: kube.asked("/tasks/airline/prediction"))
    assert airline["model_source"] == "mlflow"
    assert kube.sql("SELECT task, outcome FROM decisions ORDER BY task") == ["airline|BOOTSTRAP", "spy|BOOTSTRAP"]


@pytest.mark.parametrize("name", RUNNING)
def test_a_pod_is_not_root_and_writes_only_to_its_volumes(name: str) -> None:
    pod = kube.pods(name)[0]["metadata"]["name"]

    def tried(script: str) -> str:
        return kube.kubectl("exec", pod, "--container", name, "--", "sh", "-c", script, check=False)

    assert tried("id -u") == "10001"
    for folder in ("/", "/app", "/opt/contender/bin", "/etc", "/usr/local/bin", "/root", "/var/log"):
        assert tried(f"touch {folder}/x 2>/dev/null && echo written || echo refused") == "refused", folder
    for folder in ("/tmp", "/var/lib/contender"):
        assert tried(f"touch {folder}/x && rm {folder}/x && echo written") == "written", folder
    assert tried("ls /var/run/secrets/kubernetes.io 2>/dev/null || echo no token") == "no token"
    assert tried("command -v gcc cc make pip git || echo none") == "none"


def test_no_secret_stands_in_what_the_cluster_shows_of_its_pods() -> None:
    shown = json.dumps([kube.seen("pods"), kube.seen("configmaps"), kube.seen("cronjobs")])

    for key in ("POSTGRES_PASSWORD", "CONTENDER_ADMIN_TOKEN", "CONTENDER_TRAINER_TOKEN"):
        assert kube.secret(key) not in shown


def test_applying_it_again_changes_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    before = {name: kube.uids(name) for name in RUNNING}
    password, head = kube.secret("POSTGRES_PASSWORD"), kube.sql("SELECT version_num FROM alembic_version")

    kube.apply("test", tmp_path_factory.mktemp("another-home"), [kube.IMAGE])
    kube.wait_for("the bootstrap ends", lambda: kube.finished("bootstrap"), 300)

    assert {name: kube.uids(name) for name in RUNNING} == before
    assert (kube.secret("POSTGRES_PASSWORD"), kube.sql("SELECT version_num FROM alembic_version")) == (password, head)
    assert kube.finished("bootstrap") == "Complete"
    assert kube.count("decisions", "outcome = 'BOOTSTRAP'") == 2


def test_what_every_pod_takes_at_rest(installed: Installed) -> None:
    """Proportional memory (PSS) of a pod's processes, as the kernel counts it; the API's replicas each."""
    script = "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ {sum += $2} END {print sum}'"

    for name in RUNNING:
        for pod in kube.pods(name):
            named = pod["metadata"]["name"]
            kilobytes = float(kube.kubectl("exec", named, "--container", name, "--", "sh", "-c", script))
            limit = pod["spec"]["containers"][0]["resources"]["limits"]["memory"]
            installed.memory[named] = kilobytes / 1024
            assert kilobytes / 1024 < int(limit.removesuffix("Mi"))

    assert sum(installed.memory.values()) < 3 * 1024


def test_kubectl_logs_and_exec_work_on_every_node() -> None:
    for pod in (kube.pods(name)[0]["metadata"]["name"] for name in RUNNING):
        assert kube.kubectl("exec", pod, "--", "python", "--version").startswith("Python 3.")
        assert subprocess.run(["kubectl", "-n", kube.NAMESPACE, "logs", pod], capture_output=True).returncode == 0
