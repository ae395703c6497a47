"""Logged answers on disk between memory and Postgres: they survive a SIGKILL, and wait while Postgres is away.

Each process appends to segments of its own, `OWNER.000001.rows` and so on, in one folder; it holds a lock on
`OWNER.lock` while it lives. Segments whose owner's lock is free are orphans; any other process may ship them.
"""

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import monotonic

from core.files import write_atomically
from serving.prediction_log.postgres import LoggedFeatures

SEGMENT_BYTES = 4 * 1024 * 1024
RECOUNT_SECONDS = 1.0


@dataclass(frozen=True)
class Segment:
    """A closed file of lines. `again`: some or all of its lines may be in Postgres already."""

    path: Path
    rows: int
    again: bool = False

    def content(self) -> bytes:
        """Its lines, without a last one that was cut off by a crash in the middle of writing."""
        content = self.path.read_bytes()
        return content[: content.rfind(b"\n") + 1]

    def remove(self) -> None:
        """Deletes the file: its lines are in Postgres."""
        self.path.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Renames the file so that it is not sent again, and is there for a person to look at."""
        return self.path.rename(self.path.with_suffix(".refused"))


class PredictionSpool:
    """The segments of one process, and the orphans it takes over. Not thread-safe.

    Args:
        folder: shared by all workers.
        limit_bytes: how much the folder may hold, of all processes.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock_path = folder / f"{self._owner}.lock"
        draft = self._lock_path.with_suffix(".new")
        self._lock = draft.open("w")
        # The kernel releases it however the process ends, by SIGKILL too.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Renamed once the lock is held: others would take a lock file that is there and free for a dead owner's.
        draft.rename(self._lock_path)
        self._number = 0
        self._open_rows = 0
        self._open_bytes = 0
        self._folder_bytes = 0
        self._next_count = 0.0

    def append(self, lines: bytes, rows: int) -> bool:
        """Adds whole lines; False, and nothing is added, when the folder would hold more than its limit.

        Raises OSError when the disk does not take them; then nothing is added either.
        """
        # Listing the folder costs more than the write: what others added within a second is not seen.
        if monotonic() >= self._next_count:
            self._folder_bytes = self.size_bytes()
            self._next_count = monotonic() + RECOUNT_SECONDS
        if self._folder_bytes + len(lines) > self._limit_bytes:
            return False
        with self._open_path().open("ab") as file:
            try:
                file.write(lines)
                file.flush()
            except OSError:
                # Otherwise the first line of the next call would continue a part of a line.
                with suppress(OSError):
                    os.ftruncate(file.fileno(), self._open_bytes)
                raise
        self._open_rows += rows
        self._open_bytes += len(lines)
        self._folder_bytes += len(lines)
        return True

    def close_segment(self) -> Segment | None:
        """Closes the segment that is being written and returns it; None when it has no rows."""
        if not self._open_rows:
            return None
        segment = Segment(self._open_path(), self._open_rows)
        self._number += 1
        self._open_rows = self._open_bytes = 0
        return segment

    def is_full(self) -> bool:
        """Whether the segment being written is large enough to be closed."""
        return self._open_bytes >= SEGMENT_BYTES

    def orphans(self) -> Iterator[Segment]:
        """The segments of dead processes, under their owner's lock, which is deleted after the last of them."""
        for path in sorted(self._folder.glob("*.lock")):
            if path == self._lock_path:
                continue
            with _locked(path) as is_locked:
                if is_locked:
                    for rows in sorted(self._folder.glob(f"{path.stem}.*.rows")):
                        # `again`: the owner may have died between the COMMIT and the removal of the file.
                        yield Segment(rows, rows.read_bytes().count(b"\n"), again=True)
                    if not any(self._folder.glob(f"{path.stem}.*.rows")):
                        path.unlink(missing_ok=True)

    def size_bytes(self) -> int:
        """The bytes in the folder, of this process and of all others."""
        total = 0
        for path in self._folder.glob("*.rows"):
            # Shipped and removed since the folder was listed.
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def close(self) -> None:
        """Releases the lock. Segments that are left wait for the next process."""
        if not any(self._folder.glob(f"{self._owner}.*.rows")):
            self._lock_path.unlink(missing_ok=True)
        self._lock.close()

    def _open_path(self) -> Path:
        return self._folder / f"{self._owner}.{self._number:06d}.rows"


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the lock could be taken, which means that its owner has died. It is held while the block runs."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


class FeatureSpool:
    """Feature rows behind logged answers, one small file each, until they are in Postgres.

    Several processes may share the folder: a file is named by the hash of its content.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._kept: set[str] = set()

    def keep(self, features: LoggedFeatures) -> None:
        """Writes a row, the first time it is seen. Raises OSError when the disk does not take it."""
        if features.features_hash in self._kept:
            return
        text = json.dumps(asdict(features) | {"event_date": features.event_date.isoformat()})
        write_atomically(self._path(features), text)
        self._kept.add(features.features_hash)

    def waiting(self) -> list[LoggedFeatures]:
        """The rows that are not known to be in Postgres."""
        rows = []
        for path in self._folder.glob("*.features"):
            try:
                row = json.loads(path.read_text())
            except FileNotFoundError:  # another process has stored it
                continue
            rows.append(LoggedFeatures(**(row | {"event_date": date.fromisoformat(row["event_date"])})))
        return rows

    def remove(self, features: LoggedFeatures) -> None:
        """Deletes the file of a row that is in Postgres."""
        self._path(features).unlink(missing_ok=True)

    def _path(self, features: LoggedFeatures) -> Path:
        return self._folder / f"{features.features_hash}.features"
