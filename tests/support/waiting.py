"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable


def wait_for(is_so: Callable[[], object], seconds: float = 120) -> None:
    """Return as soon as something is so.

    Only a fault reaches the limit: it is far beyond what a machine under load needs.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
