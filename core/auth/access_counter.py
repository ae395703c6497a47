"""What happens often, written to the audit log seldom: counted, one row for each kind and period."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from core.auth import audit
from core.db.engine import reachable
from core.errors import UnreachableError
from core.logs import get_log

PERIOD_SECONDS = {"allowed": 3600.0, "refused": 60.0}
LINES = 50
"""How many kinds of an outcome are told apart at a time; those beyond are counted together, without their addresses."""
OTHERS = "(others)"
_TICK_SECONDS = 1.0


@dataclass(frozen=True)
class Happening:
    """What is counted as the same: `who` asked for `action` from `address`, and was `outcome` for `reason`."""

    who: str
    action: str
    outcome: str
    reason: str
    address: str


@dataclass
class _Line:
    count: int
    path: str
    since: float
    due: float


class AccessCounter:
    """Counts in memory and writes behind: the first of a kind within a second, what follows once a period.

    However many requests come, a worker writes at most LINES rows and a few of an outcome a period. While the database
    is away the counts are kept; a SIGKILL loses those not written yet.
    """

    def __init__(self, engine: sa.Engine, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._lines: dict[Happening, _Line] = {}
        self._counting = threading.Lock()
        self._writing = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def count(self, happening: Happening, path: str) -> None:
        """Counts one; `path` is told as an example."""
        with self._counting:
            line = self._lines.get(happening)
            if line is None and sum(known.outcome == happening.outcome for known in self._lines) >= LINES:
                happening = replace(happening, address=OTHERS)
                line = self._lines.get(happening)
            if line is None:
                line = self._lines[happening] = _Line(0, path, 0.0, due=self._monotonic())
            if line.count == 0:
                line.since, line.path = self._monotonic(), path
            line.count += 1

    def write(self, *, everything: bool = False) -> int:
        """Writes what is due, or everything, and returns how many rows. Raises UnreachableError, the counts kept."""
        with self._writing:
            now = self._monotonic()
            with self._counting:
                due = [
                    (happening, replace(line))
                    for happening, line in self._lines.items()
                    if line.count and (everything or line.due <= now)
                ]
            if due:
                with reachable(), self._engine.begin() as connection:
                    for happening, line in due:
                        audit.record(
                            connection,
                            who=happening.who,
                            action=happening.action,
                            outcome=happening.outcome,
                            detail=_detail(happening, line, now),
                        )
            with self._counting:
                for happening, written in due:
                    line = self._lines[happening]
                    line.count -= written.count
                    line.since, line.due = now, now + PERIOD_SECONDS[happening.outcome]
                for happening in [key for key, line in self._lines.items() if not line.count and line.due <= now]:
                    del self._lines[happening]
            return len(due)

    def start(self) -> None:
        """Starts the thread that writes."""
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and writes what is left."""
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


def _detail(happening: Happening, line: _Line, now: float) -> dict[str, object]:
    detail = {
        "count": line.count,
        "seconds": round(now - line.since, 1),
        "address": happening.address,
        "path": line.path,
        "reason": happening.reason,
    }
    return {name: value for name, value in detail.items() if value != ""}
