"""`python -m monitoring`: the monitor job."""

import sys

from core.jobs.runner import run_job
from monitoring.job import run

if __name__ == "__main__":
    sys.exit(run_job("monitoring", run))
