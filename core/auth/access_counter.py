"""Frequent access events, counted in memory and written to the audit log once per kind and period."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from core.auth import audit
from core.db.engine import transaction
from core.errors import UnreachableError
from core.logs import get_log

PERIOD_SECONDS = {"allowed": 3600.0, "refused": 60.0}
MAX_KINDS = 50
"""How many kinds of one outcome are counted separately; further ones are counted together, without an address."""
OTHERS = "(others)"
_TICK_SECONDS = 1.0


@dataclass(frozen=True)
class AccessEvent:
    """A kind of access: `who` requested `action` from `address`; `outcome`: allowed, or refused for `reason`."""

    who: str
    action: str
    outcome: str
    reason: str
    address: str


@dataclass
class _Counter:
    count: int
    path: str
    since: float
    due: float


class AccessCounter:
    """Counts in memory and writes from a thread: the first event of a kind within a second, further ones once a period.

    However many requests arrive, a worker writes little more than MAX_KINDS rows per outcome and period. While the
    database is away the counts are kept; a SIGKILL loses those that are not written yet.
    """

    def __init__(self, engine: sa.Engine, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._counters: dict[AccessEvent, _Counter] = {}
        # Two locks: requests go on counting while a slow database is written to.
        self._counting = threading.Lock()
        self._writing = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def count(self, event: AccessEvent, path: str) -> None:
        """Count one event; the audit log names `path` as an example."""
        with self._counting:
            counter = self._counters.get(event)
            # Senders choose their addresses: without a limit they could fill the memory and the audit log.
            if counter is None and sum(known.outcome == event.outcome for known in self._counters) >= MAX_KINDS:
                event = replace(event, address=OTHERS)
                counter = self._counters.get(event)
            if counter is None:
                counter = self._counters[event] = _Counter(0, path, 0.0, due=self._monotonic())
            if counter.count == 0:
                counter.since, counter.path = self._monotonic(), path
            counter.count += 1

    def write(self, *, everything: bool = False) -> int:
        """Write what is due, or everything, and return how many rows. Raises UnreachableError; the counts are kept."""
        with self._writing:
            now = self._monotonic()
            with self._counting:
                due = [
                    (event, replace(counter))
                    for event, counter in self._counters.items()
                    if counter.count and (everything or counter.due <= now)
                ]
            if due:
                with transaction(self._engine) as connection:
                    for event, counter in due:
                        audit.record(
                            connection,
                            who=event.who,
                            action=event.action,
                            outcome=event.outcome,
                            detail=_detail(event, counter, now),
                        )
            with self._counting:
                for event, written in due:
                    counter = self._counters[event]
                    counter.count -= written.count  # not zero: more may have come during the write
                    counter.since, counter.due = now, now + PERIOD_SECONDS[event.outcome]
                for event in [
                    key for key, counter in self._counters.items() if not counter.count and counter.due <= now
                ]:
                    del self._counters[event]
            return len(due)

    def start(self) -> None:
        """Start the thread that writes."""
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and write what is left."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._try_to_write(everything=True)

    def _run(self) -> None:
        while not self._stopped.wait(_TICK_SECONDS):
            self._try_to_write()

    def _try_to_write(self, *, everything: bool = False) -> None:
        try:
            self.write(everything=everything)
        except (UnreachableError, sa.exc.SQLAlchemyError) as error:
            get_log("audit").warning("The audit log cannot be written; the counts are kept.", why=str(error)[:200])


def _detail(event: AccessEvent, counter: _Counter, now: float) -> dict[str, object]:
    detail = {
        "count": counter.count,
        "seconds": round(now - counter.since, 1),
        "address": event.address,
        "path": counter.path,
        "reason": event.reason,
    }
    return {name: value for name, value in detail.items() if value != ""}
