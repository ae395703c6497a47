"""Every answer is logged, after it was given: queue, then a journal on disk within 50 ms, then Postgres.

Nothing waits for Postgres but its own thread. A SIGKILL costs what is younger than a beat; SIGTERM costs nothing;
without Postgres the journal holds up to its bound, and what exceeds it is counted as dropped.
"""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import monotonic

import sqlalchemy as sa

from core.errors import DatabaseUnreachableError, DataRefusedError
from serving.prediction_log import postgres as copying
from serving.prediction_log.feature_shelf import FeatureSpool
from serving.prediction_log.logged import LoggedAnswer
from serving.prediction_log.spool import PredictionSpool, Segment
from serving.runtime.complaints import LogOnce
from serving.runtime.periodic import PeriodicThread
from serving.runtime.prometheus import Metrics

WRITE_SECONDS = 0.05
SHIP_SECONDS = 0.1
RETRY_SECONDS = 1.0
ORPHANS_SECONDS = 5.0
JOURNAL_LIMIT_BYTES = 256 * 1024 * 1024


class PredictionLog:
    """The log of one process. `add` is all that a request waits for."""

    def __init__(
        self, spool: Path, engine: sa.Engine, metrics: Metrics, *, limit_bytes: int = JOURNAL_LIMIT_BYTES
    ) -> None:
        self._queue: deque[tuple[str, LoggedAnswer, datetime]] = deque()
        self._engine = engine
        self._metrics = metrics
        self._journal = PredictionSpool(spool, limit_bytes)
        self._features = FeatureSpool(spool)
        self._turn = threading.Lock()
        self._shipping = threading.Lock()
        self._closed: deque[Segment] = deque()
        self._open_rows = 0
        self._not_before = self._next_orphans = 0.0
        self._complaints = LogOnce()
        self._writer = PeriodicThread("prediction-log-writer", WRITE_SECONDS, self.write)
        self._shipper = PeriodicThread("prediction-log-shipper", SHIP_SECONDS, self.ship)

    def add(self, identity: str, logged: LoggedAnswer, made_at: datetime) -> None:
        """Takes note of one answer: an append to a queue in memory."""
        self._queue.append((identity, logged, made_at))

    def start(self) -> None:
        """Begins to write and to ship."""
        self._writer.start()
        self._shipper.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Writes everything down and sends what Postgres takes; the rest waits on disk for the next process."""
        self._shipper.stop(seconds)
        self._writer.stop(seconds)
        self.write()
        self._not_before = 0.0
        self.ship()
        self._journal.close()

    def write(self) -> None:
        """Moves what the queue holds into the journal, and counts it."""
        self._metrics.flush()
        waiting = [self._queue.popleft() for _ in range(len(self._queue))]
        if waiting:
            for task, count in Counter(logged.task for _, logged, _ in waiting).items():
                self._metrics.predictions.labels(task).inc(count)
            lines = "".join([logged.line(identity, made_at) for identity, logged, made_at in waiting]).encode()
            self._write_down(lines, {id(logged): logged for _, logged, _ in waiting}.values(), len(waiting))
        self._metrics.pending.set(self._open_rows + sum(segment.rows for segment in list(self._closed)))

    def ship(self) -> None:
        """Sends what the journal holds to Postgres; when it does not answer, tries again a second later."""
        if monotonic() < self._not_before or not self._shipping.acquire(blocking=False):
            return
        try:
            self._ship_all()
        except DatabaseUnreachableError as error:
            self._not_before = monotonic() + RETRY_SECONDS
            self._complaints.open("postgres", "Predictions wait on disk until Postgres takes them.", error.problem)
        else:
            self._complaints.close("postgres", "Predictions reach Postgres again.")
        finally:
            self._shipping.release()

    def _write_down(self, lines: bytes, logged: Iterable[LoggedAnswer], rows: int) -> None:
        try:
            for answer in logged:
                self._features.keep(answer.features)
            with self._turn:
                is_taken = self._journal.append(lines, rows)
                self._open_rows += rows if is_taken else 0
                if self._journal.is_full():
                    self._close_segment()
            cause = "" if is_taken else "the journal has reached its bound"
        except OSError as error:
            cause = str(error)
        if cause:
            self._metrics.dropped.inc(rows)
            self._complaints.open("journal", "Predictions are given and not logged.", cause)
        else:
            self._complaints.close("journal", "Predictions are logged again.")

    def _close_segment(self) -> None:
        segment = self._journal.close_segment()
        if segment is not None:
            self._closed.append(segment)
            self._open_rows = 0

    def _ship_all(self) -> None:
        for features in self._features.waiting():
            copying.store_features(self._engine, features)
            self._features.stored(features)
        self._ship_closed()  # first: while Postgres is away, the file that is being written grows, not their number
        with self._turn:
            self._close_segment()
        self._ship_closed()
        if monotonic() >= self._next_orphans:
            for segment in self._journal.orphans():
                self._ship_one(segment)
            self._next_orphans = monotonic() + ORPHANS_SECONDS

    def _ship_closed(self) -> None:
        while self._closed:
            try:
                self._ship_one(self._closed[0])
            except (DatabaseUnreachableError, DataRefusedError):
                if self._closed[0].again:
                    raise
                self._closed[0] = replace(self._closed[0], again=True)
            else:
                self._closed.popleft()

    def _ship_one(self, segment: Segment) -> None:
        """Sends one file. What Postgres refuses for good is set aside, counted and told, so that the rest goes on."""
        try:
            copying.copy(self._engine, segment.content(), again=segment.again)
        except DataRefusedError as error:
            if not segment.again:
                raise
            self._metrics.dropped.inc(segment.rows)
            kept = segment.set_aside()
            self._complaints.open("refused", "Logged predictions are set aside.", error.problem, file=str(kept))
        else:
            segment.remove()
