"""The metrics of pushed tasks' learners for Prometheus, under the names that clients of such services know.

Every worker has the same learners, so the metrics of the worker that answers are those of the service.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serving.pushed.tasks import LoadedTask

_LABELS = ["task", "series", "model"]
_GAUGES = {
    "mae": "Mean absolute error.",
    "mse": "Mean squared error.",
    "rmse": "Root of the mean squared error.",
    "mape": "Mean absolute error as a share of the target.",
    "accuracy": "Share of right classes.",
    "log_loss": "Mean log loss.",
    "roc_auc": "Area under the ROC curve.",
    "last_prediction": "The last prediction whose label came.",
    "last_actual": "The last label.",
    "last_error": "Label less prediction, the last.",
}


class LearnerMetrics(Collector):
    """The metrics as this worker knows them; nothing is read from the database for them."""

    def __init__(self, tasks: Mapping[str, LoadedTask]) -> None:
        self._tasks = tasks

    def collect(self) -> Iterable[Metric]:
        """Every metric that has a value."""
        predictions = CounterMetricFamily("ml_model_predictions", "Predictions whose labels came.", labels=_LABELS)
        learned = CounterMetricFamily("ml_model_rows_learned", "Rows learned.", labels=["task", "model"])
        gauges = {name: GaugeMetricFamily(f"ml_model_{name}", text, labels=_LABELS) for name, text in _GAUGES.items()}
        for task, loaded in sorted(self._tasks.items()):
            if not loaded.running.is_loaded:
                continue  # to read its learner would restore it, and a scrape must not wait for a replay
            with loaded.running.lock:
                report, rows = loaded.running.learner.report(), loaded.running.learner.rows_learned
            learned.add_metric([task, loaded.contender], rows)
            for series, figures in report.items():
                predictions.add_metric([task, series, loaded.contender], figures["count"])
                for name, gauge in gauges.items():
                    if figures.get(name) is not None:
                        gauge.add_metric([task, series, loaded.contender], figures[name])
        yield from (metric for metric in (predictions, learned, *gauges.values()) if metric.samples)
