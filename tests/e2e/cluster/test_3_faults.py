"""What is killed comes back with nothing lost; an alias moved in MLflow is served; a rollout fails no request."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.support.cluster import kube
from tests.support.cluster.installed import SERVICES, learn


def kill(name: str) -> None:
    """Kills a pod at once: no SIGTERM, no grace."""
    pod = kube.pods(name)[0]["metadata"]["name"]
    kube.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")


@contextmanager
def load(seconds: float = 0.0) -> Iterator[Counter[str]]:
    """Asks from four threads, a connection a request, for as long as the block runs. Counts answers by status."""
    counts: Counter[str] = Counter()
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            try:
                response = requests.get(
                    f"{kube.API}/predictionForTomorrow", timeout=10, headers={"Connection": "close"}
                )
                counts[str(response.status_code)] += 1
            except requests.RequestException as error:
                counts[type(error).__name__] += 1
            time.sleep(0.02)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(seconds)
        yield counts
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_an_alias_moved_through_mlflow_is_served_without_a_pod_restart() -> None:
    kube.wait_until_ready(*SERVICES)
    before, pods = kube.asked(), kube.uids("api")
    other = next(
        int(line)
        for line in kube.sql("SELECT version FROM versions WHERE task = 'spy' ORDER BY 1 DESC")
        if int(line) != before["model_version"]
    )
    with kube.forwarded("mlflow", 5000) as mlflow:
        alias = f"{mlflow}/api/2.0/mlflow/registered-models/alias"
        moved = requests.post(alias, json={"name": "spy", "alias": "champion", "version": str(other)}, timeout=10)
        moved.raise_for_status()

        def are_following() -> bool:
            return {kube.asked()["model_version"] for _ in range(20)} == {other}

        kube.wait_for("every replica serves the version that the alias stands on", are_following, 30, every=0.2)
        back = {"name": "spy", "alias": "champion", "version": str(before["model_version"])}
        requests.post(alias, json=back, timeout=10).raise_for_status()

    kube.wait_for("it is back", lambda: kube.asked()["model_version"] == before["model_version"], 30)
    assert (kube.uids("api"), kube.restarts("api")) == (pods, 0)
    assert kube.asked()["model_source"] == "mlflow"


def test_a_killed_replica_of_the_api_comes_back_and_the_other_answers_meanwhile() -> None:
    learned = [learn(number) for number in range(5)]
    before, rows = kube.uids("api"), kube.count("events", "log = 'live'")

    kill("api")
    kube.wait_for("another pod is there", lambda: len(kube.uids("api") - before) == 1)
    kube.wait_until_ready("statefulset/api")

    assert len(learned) == 5
    assert kube.count("events", "log = 'live'") >= rows
    assert {kube.asked()["model_source"] for _ in range(20)} == {"mlflow"}
    info = kube.asked("/model_metrics")["model_info"]
    assert info["rows_learned"] == kube.count("events", "log = 'live' AND kind = 'row'") or info["rows_learned"] > 0


def test_postgres_killed_loses_no_answer_and_no_row() -> None:
    counted = kube.count("predictions", "task = 'spy'")
    answers = 0
    for number in range(100, 105):
        learn(number)
    rows = kube.count("events", "log = 'live'")

    kill("postgres")
    for _ in range(30):  # the API answers from memory, and keeps its answers until there is a database again
        kube.asked()
        answers += 1
    kube.wait_until_ready("statefulset/postgres")
    for number in range(100, 107):
        learn(number)

    arrived = kube.wait_for(
        "every answer is in the log", lambda: kube.count("predictions", "task = 'spy'") >= counted + answers, 60
    )
    assert arrived
    assert kube.count("events", "log = 'live'") == rows + 2
    assert kube.sql("SELECT count(*) - count(DISTINCT id) FROM predictions") == ["0"]
    kube.wait_until_ready(*SERVICES)


def test_without_mlflow_a_new_replica_serves_the_last_good_version() -> None:
    version = kube.asked()["model_version"]
    kube.kubectl("scale", "deployment/mlflow", "--replicas=0")
    kube.wait_for("MLflow is gone", lambda: not kube.pods("mlflow"))
    try:
        kill("api")
        time.sleep(1)
        kube.wait_until_ready("statefulset/api")

        answers = [kube.asked() for _ in range(20)]
        assert {told["model_version"] for told in answers} == {version}
        assert "last-good copy" in {told["model_source"] for told in answers}
    finally:
        kube.kubectl("scale", "deployment/mlflow", "--replicas=1")
    kube.wait_until_ready("deployment/mlflow")

    def are_all_fresh() -> bool:
        return {kube.asked()["model_source"] for _ in range(20)} == {"mlflow"}

    kube.wait_for("MLflow is heard again", are_all_fresh, 60)


def test_a_killed_mlflow_comes_back_with_its_models_and_their_aliases() -> None:
    with kube.forwarded("mlflow", 5000) as mlflow:
        found = requests.get(f"{mlflow}/api/2.0/mlflow/registered-models/get?name=spy", timeout=10).json()
    kill("mlflow")
    time.sleep(1)
    kube.wait_until_ready("deployment/mlflow")

    with kube.forwarded("mlflow", 5000) as mlflow:
        again = requests.get(f"{mlflow}/api/2.0/mlflow/registered-models/get?name=spy", timeout=10).json()
    assert again["registered_model"]["aliases"] == found["registered_model"]["aliases"]
    assert kube.run_job("promote").splitlines()[-1].find('"exit_code": 0') > 0


def test_a_rollout_under_load_fails_no_request() -> None:
    before = kube.uids("api")
    with load(seconds=1) as counts:
        kube.kubectl("rollout", "restart", "statefulset/api")
        kube.kubectl("rollout", "status", "statefulset/api", "--timeout=240s")
        time.sleep(1)

    assert not before & kube.uids("api")
    assert set(counts) == {"200"}, counts
    assert counts["200"] > 200
