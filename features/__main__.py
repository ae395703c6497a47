"""`python -m features --task NAME`: the features job."""

import sys
from collections.abc import Sequence

from core.jobs.runner import run_job
from features.job import run


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job and returns its exit code."""
    return run_job("features", run, argv)


if __name__ == "__main__":
    sys.exit(main())
