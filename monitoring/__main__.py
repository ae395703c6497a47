"""`python -m monitoring`: the monitor job."""

import sys

from core.jobs import run_job
from monitoring.job import run

if __name__ == "__main__":
    sys.exit(run_job("monitoring", run))
