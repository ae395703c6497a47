"""The nights: the CronJobs as Jobs, five at once, what exit codes lead to, a learner killed at its work."""

import json
from typing import Any

import pytest
import yaml

from tests.support.cluster import kube
from tests.support.cluster.installed import JOBS

LABELS = "SELECT contender, target_date, value FROM contender_predictions WHERE task = '{}' ORDER BY 1, 2"


def with_task(name: str, task: dict[str, Any]) -> "kube.Change":
    """A change of a Job: it knows one task more, and that one only."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"task-{name}"}}
    kube.kubectl("apply", "-f", "-", given=json.dumps({**config, "data": {f"{name}.yaml": yaml.safe_dump(task)}}))

    def change(manifest: dict[str, Any]) -> None:
        spec = manifest["spec"]["template"]["spec"]
        spec["volumes"].append({"name": "more", "configMap": {"name": f"task-{name}"}})
        container = spec["containers"][0]
        container["volumeMounts"].append({"name": "more", "mountPath": "/more"})
        container["env"].append({"name": "CONTENDER_TASKS", "value": "/more"})

    return change


def task_like(name: str, other: str, contenders: list[str]) -> dict[str, Any]:
    """A task of the repository under another name, with some of its contenders."""
    task: dict[str, Any] = yaml.safe_load((kube.REPOSITORY / "tasks" / f"{other}.yaml").read_text())
    task["contenders"] = {one: task["contenders"][one] for one in contenders}
    return {**task, "name": name}


def test_every_cronjob_does_its_work_as_a_job_started_by_hand() -> None:
    kube.wait_for("the bootstrap ends", lambda: kube.finished("bootstrap"), 300)

    told = {name: kube.run_job(name).splitlines()[-1] for name in JOBS}

    assert [name for name, said in JOBS.items() if said not in told[name]] == [], told
    assert {json.loads(line)["exit_code"] for line in told.values()} == {0}
    assert {one["metadata"]["name"] for one in kube.seen("cronjobs")["items"]} == set(JOBS)


def test_the_same_job_started_five_times_at_once_happens_once() -> None:
    change = with_task("five", task_like("five", "airline", ["naive", "seasonal-growth", "holt-winters"]))

    def whole_loop(manifest: dict[str, Any]) -> None:
        kube.command("python", "-m", "contender", "run")(manifest)
        change(manifest)

    jobs = [kube.start_job("train", whole_loop) for _ in range(5)]
    for job in jobs:
        assert kube.wait_for(f"{job} ends", lambda job=job: kube.finished(job), 400) == "Complete", kube.log_of(job)  # type: ignore[misc]

    versions = kube.sql("SELECT contender, count(*) FROM versions WHERE task = 'five' GROUP BY 1 ORDER BY 1")
    assert [line.split("|")[1] for line in versions] == ["1"] * len(versions)
    assert 1 <= len(versions) <= 3
    assert kube.sql("SELECT outcome, count(*) FROM decisions WHERE task = 'five' GROUP BY 1") == ["BOOTSTRAP|1"]
    moves = kube.sql("SELECT alias, count(*) FROM ledger WHERE task = 'five' AND phase = 'confirmed' GROUP BY 1")
    assert "champion|1" in moves
    pairs = "count(*) - count(DISTINCT (contender, target_date))"
    assert kube.sql(f"SELECT {pairs} FROM contender_predictions WHERE task = 'five'") == ["0"]


def test_a_learner_killed_in_the_middle_of_a_job_ends_as_if_it_had_not_been() -> None:
    contenders = ["base-rate", "logistic", "river-logistic"]
    spy = yaml.safe_load((kube.REPOSITORY / "k8s/components/sample-tasks/spy.yaml").read_text())
    task = {**spy, "name": "killed", "contenders": {one: spy["contenders"][one] for one in contenders}}
    change = with_task("killed", task)

    def up_to_training(manifest: dict[str, Any]) -> None:
        script = "python -m ingestion && python -m features && exec python -m training"
        kube.command("sh", "-c", script)(manifest)
        change(manifest)

    job = kube.start_job("train", up_to_training)
    kube.wait_for(
        "it has begun to predict", lambda: kube.count("contender_predictions", "task = 'killed'"), 240, every=0.3
    )
    victim = kube.job_pods(job)[0]["metadata"]["name"]
    kube.kubectl("delete", "pod", victim, "--force", "--grace-period=0", "--wait=false")

    assert kube.wait_for(f"{job} ends", lambda: kube.finished(job), 400) == "Complete", kube.log_of(job)
    survivor = kube.job_pods(job)[-1]["metadata"]["name"]
    assert survivor != victim
    expected = [line for line in kube.sql(LABELS.format("spy")) if line.split("|")[0] in contenders]
    assert kube.sql(LABELS.format("killed")) == expected
    assert len(expected) > 10_000


def test_a_job_that_exits_75_is_retried_until_it_can_do_its_work() -> None:
    before = kube.count("decisions")
    kube.kubectl("scale", "deployment/mlflow", "--replicas=0")
    kube.wait_for("MLflow is gone", lambda: not kube.pods("mlflow"))
    job = kube.start_job("train", kube.command("sh", "-c", "python -m features && exec python -m training.promote"))
    kube.wait_for("it was tried twice", lambda: kube.exit_codes(job)[:2] == [75, 75], 240)

    kube.kubectl("scale", "deployment/mlflow", "--replicas=1")
    outcome = kube.wait_for(f"{job} ends", lambda: kube.finished(job), 400)

    assert outcome == "Complete", kube.log_of(job)
    codes = kube.exit_codes(job)
    assert codes[-1] == 0
    assert set(codes[:-1]) == {75}
    assert kube.count("decisions") == before


def test_a_job_that_exits_42_does_its_work_no_second_time() -> None:
    """Before Kubernetes 1.25 the Job is started again, and finds its work settled; after it, it fails at once."""
    words = ("python", "-m", "training.promote", "--task", "airline", "--task", "nosuch")
    job = kube.start_job("promote", kube.command(*words))
    before = kube.count("decisions"), kube.count("ledger"), kube.count("versions")
    kube.wait_for("it has ended with 42", lambda: 42 in kube.exit_codes(job), 120)
    is_final = kube.finished(job) == "Failed"
    if not is_final:
        kube.wait_for("it ended again, or for good", lambda: len(kube.exit_codes(job)) > 1 or kube.finished(job), 120)

    assert set(kube.exit_codes(job)) == {42}
    assert (kube.count("decisions"), kube.count("ledger"), kube.count("versions")) == before
    assert "There is no task nosuch" in kube.log_of(job) or "nosuch" in kube.log_of(job)
    kube.kubectl("delete", "job", job)


@pytest.mark.parametrize("field", ["podFailurePolicy", "ttlSecondsAfterFinished"])
def test_what_this_cluster_knows_of_a_field_it_has_kept(field: str) -> None:
    """An old API server drops the fields that came later; one that knows them has them as they were sent."""
    known = kube.kubectl("explain", f"job.spec.{field}", check=False)
    specs = [one["spec"]["jobTemplate"]["spec"] for one in kube.seen("cronjobs")["items"]]

    assert all((field in spec) == bool(known) for spec in specs)
