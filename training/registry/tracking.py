"""Runs in MLflow: one for each version that a contender makes, with what it was made from and how it did."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests

from core.errors import ConfigurationError, RegistryUnreachableError
from training.registry.base import KEY, MODEL, LoggedRun, RunRecord
from training.registry.flavor import pyfunc

if TYPE_CHECKING:
    from features.dataset import Dataset

_METRICS_AT_ONCE = 900  # MLflow takes 1000 at once, parameters included


class MlflowTracker:
    """`training.registry.base.RunTracker` on an MLflow server."""

    def __init__(self, client: Any, experiment_id: str, dataset: Any, unfinished: Mapping[str, Any]) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._dataset = dataset
        self._unfinished = unfinished
        # Two runs that name a new dataset at the same moment: MLflow refuses one of them.
        self._one_input_at_a_time = threading.Lock()

    @classmethod
    def open(cls, url: str, experiment: str, dataset: "Dataset | None") -> "MlflowTracker":
        """The tracker of an experiment, which is made when there is none.

        Args:
            url: of the MLflow server.
            experiment: its name.
            dataset: the input of its runs, where they have one.

        Raises:
            RegistryUnreachableError: MLflow does not answer.
        """
        # First: it sets how long MLflow's client waits for a server that does not answer.
        pyfunc()
        from mlflow import MlflowClient

        with _reachable(url):
            client = MlflowClient(tracking_uri=url, registry_uri=url)
            found = client.get_experiment_by_name(experiment)
            experiment_id = found.experiment_id if found else client.create_experiment(experiment)
            running = client.search_runs([experiment_id], "attributes.status = 'RUNNING'")
            unfinished = {run.data.tags[KEY]: run.info for run in running if KEY in run.data.tags}
            return cls(client, experiment_id, None if dataset is None else _input(dataset), unfinished)

    def log(self, record: RunRecord) -> LoggedRun:
        from mlflow.entities import Metric, Param

        with _reachable(self._client.tracking_uri):
            info = self._unfinished.get(record.key) or self._create(record)
            run_id: str = info.run_id
            points = [Metric(point.name, point.value, point.timestamp, point.step) for point in record.metrics]
            params = [Param(name, value) for name, value in record.params.items()]
            for start in range(0, max(len(points), 1), _METRICS_AT_ONCE):
                batch = points[start : start + _METRICS_AT_ONCE]
                self._client.log_batch(run_id, metrics=batch, params=[] if start else params)
            if self._dataset is not None:
                with self._one_input_at_a_time:
                    self._client.log_inputs(run_id, [self._dataset])
            self._client.log_artifacts(run_id, str(record.folder))
        return LoggedRun(run_id, f"{info.artifact_uri}/{MODEL}")

    def finish(self, run_id: str) -> None:
        with _reachable(self._client.tracking_uri):
            self._client.set_terminated(run_id)

    def finished(self, key: str) -> str | None:
        query = f"tags.`{KEY}` = '{key}' and attributes.status = 'FINISHED'"
        with _reachable(self._client.tracking_uri):
            found = self._client.search_runs([self._experiment_id], query, max_results=1)
        return found[0].info.run_id if found else None

    def _create(self, record: RunRecord) -> Any:
        tags = {**record.tags, KEY: record.key, "mlflow.note.content": record.description}
        return self._client.create_run(self._experiment_id, tags=tags, run_name=record.name).info


def _input(dataset: "Dataset") -> Any:
    """The dataset as a run's input: its schema and size, with the data hash for a digest."""
    import mlflow.data
    from mlflow.entities import DatasetInput, InputTag

    frame = dataset.table.select(*dataset.feature_names, "label").to_pandas()
    described = mlflow.data.from_pandas(frame, name=dataset.series, targets="label", digest=dataset.data_hash)
    return DatasetInput(described._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    """Tells an MLflow that does not answer from one that refuses."""
    from mlflow.exceptions import MlflowException, RestException

    try:
        yield
    except (MlflowException, requests.RequestException) as error:
        if isinstance(error, RestException) and error.get_http_status_code() < 500:
            raise ConfigurationError(f"MLflow refused: {error.message}.", "Look at the run in MLflow.") from error
        raise RegistryUnreachableError(
            f"MLflow did not answer at {url}: {str(error).splitlines()[0][:200]}.",
            "What was learned is stored; the versions are registered by the next run.",
        ) from error
