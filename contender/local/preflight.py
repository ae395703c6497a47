"""What `contender up` requires before it starts anything: a writable home, some disk, no other `up` in that home."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import fasteners

from core.config.settings import Settings
from core.errors import BusyError, ConfigurationError

FREE_DISK_MEGABYTES = 500


def check(settings: Settings) -> None:
    """Raise ConfigurationError when the home cannot be written or the disk is nearly full."""
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
            f"Only {free} MB are free on the disk of {settings.home}; {FREE_DISK_MEGABYTES} MB are needed.",
            "Free some disk, or set CONTENDER_HOME to a folder on another one.",
        )


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Allow one `contender up` in a home. Raises BusyError when there is another."""
    # A lock of the operating system ends with its process, so that a killed `up` leaves none behind.
    lock = fasteners.InterProcessLock(settings.home / "up.lock")
    if not lock.acquire(blocking=False):
        raise BusyError(f"Another `contender up` runs in {settings.home}.", "Stop it with Ctrl-C or `contender down`.")
    try:
        yield
    finally:
        lock.release()
