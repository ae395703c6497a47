"""Lines on disk between the answer and Postgres: what a SIGKILL must not cost, and what waits while Postgres is away.

Each process appends to files of its own, `OWNER.000001.rows` and so on, in one folder; it holds a lock on `OWNER.lock`
while it lives. A file whose owner's lock is free belongs to nobody, and whoever sees it first takes it over.
"""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

SEGMENT_BYTES = 4 * 1024 * 1024
RECOUNT_SECONDS = 1.0


@dataclass(frozen=True)
class Segment:
    """A closed file of lines. `again`: it may have reached Postgres before, wholly or not."""

    path: Path
    rows: int
    again: bool = False

    def content(self) -> bytes:
        """Its lines, without a last one that was cut off in the middle of writing."""
        content = self.path.read_bytes()
        return content[: content.rfind(b"\n") + 1]

    def remove(self) -> None:
        """Deletes it: its lines are where they belong."""
        self.path.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Takes it out of the way, for a person to look at."""
        return self.path.rename(self.path.with_suffix(".refused"))


class PredictionSpool:
    """The files of one process, and those it inherits. Not for use by two threads at once."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock_path = folder / f"{self._owner}.lock"
        draft = self._lock_path.with_suffix(".new")
        self._lock = draft.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        draft.rename(self._lock_path)  # seen only once it is held
        self._number = 0
        self._open_rows = 0
        self._open_bytes = 0
        self._folder_bytes = 0
        self._next_count = 0.0

    def append(self, lines: bytes, rows: int) -> bool:
        """Adds whole lines; False, and nothing is added, when the folder would hold more than its bound.

        The folder is counted once a second; what was added since is added to the count, what others did since is not.
        Raises OSError when the disk does not take them; then too nothing is added.
        """
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
                with suppress(OSError):
                    os.ftruncate(file.fileno(), self._open_bytes)
                raise
        self._open_rows += rows
        self._open_bytes += len(lines)
        self._folder_bytes += len(lines)
        return True

    def close_segment(self) -> Segment | None:
        """Ends the file that is being written and hands it over; None when it holds nothing."""
        if not self._open_rows:
            return None
        segment = Segment(self._open_path(), self._open_rows)
        self._number += 1
        self._open_rows = self._open_bytes = 0
        return segment

    def is_full(self) -> bool:
        """Whether the file being written is large enough to be closed."""
        return self._open_bytes >= SEGMENT_BYTES

    def orphans(self) -> Iterator[Segment]:
        """The files of processes that live no more, each process's under its lock; their locks go when all is gone."""
        for path in sorted(self._folder.glob("*.lock")):
            if path == self._lock_path:
                continue
            with _taken(path) as is_taken:
                if is_taken:
                    for rows in sorted(self._folder.glob(f"{path.stem}.*.rows")):
                        yield Segment(rows, rows.read_bytes().count(b"\n"), again=True)
                    if not any(self._folder.glob(f"{path.stem}.*.rows")):
                        path.unlink(missing_ok=True)

    def size_bytes(self) -> int:
        """What the folder holds, of this process and of all others."""
        total = 0
        for path in self._folder.glob("*.rows"):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def close(self) -> None:
        """Gives the lock back. Files that are left wait for the next process."""
        if not any(self._folder.glob(f"{self._owner}.*.rows")):
            self._lock_path.unlink(missing_ok=True)
        self._lock.close()

    def _open_path(self) -> Path:
        return self._folder / f"{self._owner}.{self._number:06d}.rows"


@contextmanager
def _taken(path: Path) -> Iterator[bool]:
    """Whether the lock could be taken: its owner has died. It is held while the block runs."""
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
