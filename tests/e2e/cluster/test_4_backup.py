"""A backup that was put back: what came after it is gone, what was there stays under another name, all goes on."""

from tests.support.cluster import kube
from tests.support.cluster.installed import SERVICES, learn


def test_a_backup_is_put_back_by_its_job_and_everything_goes_on_from_there() -> None:
    learn(1000)
    kube.run_job("backup")
    events, champion = kube.count("events", "log = 'live'"), kube.asked()["model_version"]
    for number in range(1001, 1004):
        learn(number)

    assert "backups: 20" in kube.restore("--list")
    assert kube.count("events", "log = 'live'") == events + 3
    assert "is restored; the replaced databases are kept as contender_before_" in kube.restore()

    assert kube.count("events", "log = 'live'") == events
    kept = kube.sql("SELECT datname FROM pg_database WHERE datname LIKE '%_before_%' ORDER BY 1")
    assert [name.split("_before_")[0] for name in kept] == ["contender", "mlflow"]
    kube.wait_until_ready(*SERVICES)
    assert kube.asked()["model_version"] == champion
    for number in range(1001, 1003):  # learned anew, for the log has forgotten them
        learn(number)
    assert kube.count("events", "log = 'live'") == events + 2
    assert '"exit_code": 0' in kube.run_job("promote").splitlines()[-1]
