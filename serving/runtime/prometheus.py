"""Prometheus metrics that are exact over all workers, past and present, and cost a request next to nothing.

A request only appends to a queue; `flush` counts. Each process counts in files of its own in one folder (the client's
multiprocess mode); a new process continues those of a dead one: nothing is lost, and the folder stays small.
"""

import os
import struct
from bisect import bisect_left
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from time import time

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from core.config.settings import export

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_PATIENCE_SECONDS = 3.0
_POLLED = "alias_polled_timestamp_seconds"


class _ManyAtOnce(Histogram):
    """A histogram that observes a whole batch at the cost of one observation."""

    def observe_many(self, observed: list[float]) -> None:
        """Observes each value, with one addition per bucket."""
        # Private attributes of the client: its own `observe` writes to the file for each value.
        self._sum.inc(sum(observed))
        for position, count in Tally(bisect_left(self._upper_bounds, seconds) for seconds in observed).items():
            self._buckets[position].inc(count)


class Metrics:
    """The metrics of one process; `page` renders those of all."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        _inherit(folder)
        export({"PROMETHEUS_MULTIPROC_DIR": str(folder)})
        # The client chose its class of values when it was imported, before the variable was set: chosen again here.
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        self._requests: deque[tuple[str, int, float]] = deque()
        here = CollectorRegistry()  # only holds the definitions; values are read from the folder
        self.requests = Counter("http_requests", "Requests answered.", ["route", "status"], registry=here)
        self.seconds = _ManyAtOnce(
            "http_request_seconds", "Time in this service per request.", ["route"], buckets=_BUCKETS, registry=here
        )
        self.predictions = Counter("predictions", "Predictions given.", ["task"], registry=here)
        self.dropped = Counter(
            "predictions_dropped", "Predictions given and not logged: the spool was full.", registry=here
        )
        self.pending = Gauge(
            "predictions_pending", "Predictions not in Postgres yet.", registry=here, multiprocess_mode="livesum"
        )
        self.reload_failures = Counter(
            "model_reload_failures", "Champions that could not be loaded.", ["task", "reason"], registry=here
        )
        self.served = Gauge(
            "model_version_served", "Version each worker serves.", ["task"], registry=here, multiprocess_mode="liveall"
        )
        self.alerts = Gauge(
            "contender_alerts",
            "Whether a task has an alert (1) or not (0), in any worker.",
            ["task", "alert"],
            registry=here,
            multiprocess_mode="livemax",
        )
        self.polled = Gauge(
            _POLLED, "When each worker last polled the aliases.", registry=here, multiprocess_mode="liveall"
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """Queues one request in memory."""
        self._requests.append((route, status, seconds))

    def flush(self) -> None:
        """Counts the queued requests."""
        # As many as are queued now: requests go on appending.
        queued = [self._requests.popleft() for _ in range(len(self._requests))]
        for (route, status), count in Tally((route, status) for route, status, _ in queued).items():
            self.requests.labels(route, str(status)).inc(count)
        for route in {route for route, _, _ in queued}:
            self.seconds.labels(route).observe_many([seconds for at, _, seconds in queued if at == route])

    def page(self, *others: Collector) -> bytes:
        """The metrics of all processes, and those of `others`, in Prometheus's text format."""
        self.flush()
        registry = CollectorRegistry()
        registry.register(_AllProcesses(self._folder))
        for other in others:
            registry.register(other)
        return generate_latest(registry)


class _AllProcesses:
    """The metrics in the files of all processes, and how long ago each living worker polled the aliases."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        _forget_dead_gauges(self._folder)
        for metric in _read(self._folder):
            yield metric
            if metric.name == _POLLED:
                age = GaugeMetricFamily(
                    "alias_poll_age_seconds", "Time since each worker polled the aliases.", labels=["pid"]
                )
                for sample in metric.samples:
                    age.add_metric([sample.labels["pid"]], max(0.0, time() - sample.value))
                yield age


@retry(
    # A new process took over a file between the listing and the reading, or has made one and not begun it yet.
    retry=retry_if_exception_type((FileNotFoundError, struct.error)),
    stop=stop_after_delay(_PATIENCE_SECONDS),
    wait=wait_fixed(0.01),
    reraise=True,
)
def _read(folder: Path) -> list[Metric]:
    collector = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]
    return list(collector.collect())  # type: ignore[no-untyped-call]


def _inherit(folder: Path) -> None:
    """Renames the counters of dead processes to ours, one file of each kind, so that counting goes on in them."""
    _forget_dead_gauges(folder)
    for kind in ("counter", "histogram"):
        mine = folder / f"{kind}_{os.getpid()}.db"
        for file in sorted(folder.glob(f"{kind}_*.db")):
            # One file of each kind: renaming a second one to this name would overwrite the counts of the first.
            if not mine.exists() and not _is_alive(_owner(file)):
                try:
                    file.rename(mine)
                except FileNotFoundError:  # another new process was quicker
                    continue


def _forget_dead_gauges(folder: Path) -> None:
    for file in folder.glob("gauge_live*.db"):
        if not _is_alive(_owner(file)):
            file.unlink(missing_ok=True)


def _owner(file: Path) -> int:
    return int(file.stem.rsplit("_", 1)[1])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # sends nothing: it only checks that the process is there
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # of another user, and alive
    return True
