"""The runs that MLflow has of a stage's decisions."""

from typing import Any

from core.config.settings import Settings
from tests.support.stage import Stage


def mlflow_client(settings: Settings) -> Any:
    """MLflow's own client."""
    from mlflow import MlflowClient

    return MlflowClient(settings.mlflow_url, settings.mlflow_url)


def logged(client: Any, stage: Stage) -> dict[str, Any]:
    """The runs of decisions, by the decision's id."""
    experiment = client.get_experiment_by_name(stage.task.name).experiment_id
    found = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    of_decisions = [run for run in found if "decision" in run.data.tags]
    assert len({run.data.tags["decision"] for run in of_decisions}) == len(of_decisions)
    return {run.data.tags["decision"]: run for run in of_decisions}
