"""What must be so before anything starts: a home that can be written, some disk, and nobody else at work there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import fasteners

from core.config.settings import Settings
from core.errors import BusyError, ConfigurationError

FREE_DISK_MEGABYTES = 500


def check(settings: Settings) -> None:
    """Raises ConfigurationError when the home cannot be written or the disk is all but full."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".writable"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"{settings.home} cannot be written: {error.strerror}.",
            "Free the disk or set CONTENDER_HOME to another folder.",
        ) from None
    free = shutil.disk_usage(settings.home).free // 2**20
    if free < FREE_DISK_MEGABYTES:
        raise ConfigurationError(
            f"Only {free} MB are free where {settings.home} lies; {FREE_DISK_MEGABYTES} MB are needed.",
            "Free some disk, or set CONTENDER_HOME to a folder on another one.",
        )


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """One `up` a home: an operating-system lock, which goes with its holder and so never grows stale."""
    lock = fasteners.InterProcessLock(settings.home / "up.lock")
    if not lock.acquire(blocking=False):
        raise BusyError(
            f"Another `contender up` is at work in {settings.home}.", "Stop it with Ctrl-C or `contender down`."
        )
    try:
        yield
    finally:
        lock.release()
