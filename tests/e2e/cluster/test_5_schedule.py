"""The CronJobs, let go: each runs by its own schedule."""

from tests.support.cluster import kube
from tests.support.cluster.installed import JOBS


def by_schedule() -> dict[str, list[str]]:
    """The outcomes of the Jobs that each CronJob has started by itself."""
    found: dict[str, list[str]] = {name: [] for name in JOBS}
    for job in kube.seen("jobs")["items"]:
        for owner in job["metadata"].get("ownerReferences", []):
            conditions = [c["type"] for c in job["status"].get("conditions", []) if c["status"] == "True"]
            found[owner["name"]] += [c for c in conditions if c in ("Complete", "Failed")]
    return found


def test_every_cronjob_runs_by_its_own_schedule() -> None:
    before = kube.count("decisions")
    for name in JOBS:
        kube.kubectl("patch", "cronjob", name, "--patch", '{"spec": {"suspend": false}}')

    kube.wait_for("each has run", lambda: all("Complete" in runs for runs in by_schedule().values()), 420, every=3)

    assert [name for name, runs in by_schedule().items() if "Failed" in runs] == []
    assert kube.count("decisions") == before
    assert kube.asked("/model_metrics")["model_info"]["rows_learned"] > 0
