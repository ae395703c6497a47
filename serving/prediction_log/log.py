"""Logs every answer after it was given: a queue in memory, then a spool on disk within 50 ms, then Postgres.

A SIGKILL costs what is younger than 50 ms; SIGTERM costs nothing. Without Postgres the spool grows up to its limit;
answers beyond that are given, counted as dropped, and not logged.
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
from serving.prediction_log import postgres
from serving.prediction_log.postgres import LoggedAnswer
from serving.prediction_log.spool import FeatureSpool, PredictionSpool, Segment
from serving.runtime.periodic import LogOnce, PeriodicThread
from serving.runtime.prometheus import Metrics

# What a SIGKILL may cost; a shorter interval only wakes the thread more often.
WRITE_SECONDS = 0.05
SHIP_SECONDS = 0.1
RETRY_SECONDS = 1.0
ORPHANS_SECONDS = 5.0
SPOOL_LIMIT_BYTES = 256 * 1024 * 1024


class PredictionLog:
    """The prediction log of one process. A request only waits for `add`; only the shipping thread waits for Postgres.

    Args:
        spool: the folder of the spool, which all workers share.
        limit_bytes: how much the folder may hold.
    """

    def __init__(
        self, spool: Path, engine: sa.Engine, metrics: Metrics, *, limit_bytes: int = SPOOL_LIMIT_BYTES
    ) -> None:
        self._queue: deque[tuple[str, LoggedAnswer, datetime]] = deque()
        self._engine = engine
        self._metrics = metrics
        self._spool = PredictionSpool(spool, limit_bytes)
        self._features = FeatureSpool(spool)
        # Guards the spool, in which the writer appends while the shipper closes the segment being written.
        self._spool_lock = threading.Lock()
        self._ship_lock = threading.Lock()
        self._closed: deque[Segment] = deque()
        self._open_rows = 0
        self._not_before = self._next_orphans = 0.0
        self._log_once = LogOnce()
        self._writer = PeriodicThread("prediction-log-writer", WRITE_SECONDS, self.write)
        self._shipper = PeriodicThread("prediction-log-shipper", SHIP_SECONDS, self.ship)

    def add(self, identity: str, logged: LoggedAnswer, made_at: datetime) -> None:
        """Queues one answer in memory."""
        self._queue.append((identity, logged, made_at))

    def start(self) -> None:
        """Starts to write and to ship."""
        self._writer.start()
        self._shipper.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Writes the queue and ships what Postgres accepts; the rest waits on disk for the next process."""
        self._shipper.stop(seconds)
        self._writer.stop(seconds)
        self.write()
        # Also within the pause after an outage: it is this process's last chance.
        self._not_before = 0.0
        self.ship()
        self._spool.close()

    def write(self) -> None:
        """Moves the queue into the spool, and counts it."""
        self._metrics.flush()
        # As many as are queued now: requests go on appending, and a loop until it is empty might never end.
        waiting = [self._queue.popleft() for _ in range(len(self._queue))]
        if waiting:
            for task, count in Counter(logged.task for _, logged, _ in waiting).items():
                self._metrics.predictions.labels(task).inc(count)
            lines = "".join([logged.line(identity, made_at) for identity, logged, made_at in waiting]).encode()
            self._append(lines, {id(logged): logged for _, logged, _ in waiting}.values(), len(waiting))
        self._metrics.pending.set(self._open_rows + sum(segment.rows for segment in list(self._closed)))

    def ship(self) -> None:
        """Sends the spool to Postgres; when Postgres does not answer, tries again a second later."""
        # `stop` ships from another thread, while a call of the shipping thread may still hang.
        if monotonic() < self._not_before or not self._ship_lock.acquire(blocking=False):
            return
        try:
            self._ship_all()
        except DatabaseUnreachableError as error:
            self._not_before = monotonic() + RETRY_SECONDS
            self._log_once.problem("postgres", "Predictions wait on disk until Postgres takes them.", error.problem)
        else:
            self._log_once.resolved("postgres", "Predictions reach Postgres again.")
        finally:
            self._ship_lock.release()

    def _append(self, lines: bytes, logged: Iterable[LoggedAnswer], rows: int) -> None:
        try:
            for answer in logged:
                self._features.keep(answer.features)
            with self._spool_lock:
                is_appended = self._spool.append(lines, rows)
                self._open_rows += rows if is_appended else 0
                if self._spool.is_full():
                    self._close_segment()
            cause = "" if is_appended else "the spool has reached its limit"
        # A full disk costs the record of answers, not the answers.
        except OSError as error:
            cause = str(error)
        if cause:
            self._metrics.dropped.inc(rows)
            self._log_once.problem("spool", "Predictions are given and not logged.", cause)
        else:
            self._log_once.resolved("spool", "Predictions are logged again.")

    def _close_segment(self) -> None:
        segment = self._spool.close_segment()
        if segment is not None:
            self._closed.append(segment)
            self._open_rows = 0

    def _ship_all(self) -> None:
        # Features first: a row of `predictions` refers to them by their hash.
        for features in self._features.waiting():
            postgres.store_features(self._engine, features)
            self._features.remove(features)
        # Closed segments before the open one is closed: while Postgres is away one file grows, not their number.
        self._ship_closed()
        with self._spool_lock:
            self._close_segment()
        self._ship_closed()
        if monotonic() >= self._next_orphans:
            for segment in self._spool.orphans():
                self._ship_one(segment)
            self._next_orphans = monotonic() + ORPHANS_SECONDS

    def _ship_closed(self) -> None:
        while self._closed:
            try:
                self._ship_one(self._closed[0])
            except (DatabaseUnreachableError, DataRefusedError):
                if self._closed[0].again:
                    raise
                # The commit may have reached Postgres although its answer did not: from now on with a check of ids.
                self._closed[0] = replace(self._closed[0], again=True)
            else:
                self._closed.popleft()

    def _ship_one(self, segment: Segment) -> None:
        """Sends one segment. One that Postgres refuses for good is set aside and counted, so that the rest goes on."""
        try:
            postgres.copy(self._engine, segment.content(), again=segment.again)
        except DataRefusedError as error:
            if not segment.again:
                raise
            self._metrics.dropped.inc(segment.rows)
            kept = segment.set_aside()
            self._log_once.problem("refused", "Logged predictions are set aside.", error.problem, file=str(kept))
        else:
            segment.remove()
