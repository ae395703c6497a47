"""`python -m ingestion --task spy`: bring one task's series up to date."""

import sys

from core.jobs.runner import run_job
from ingestion.job import run

if __name__ == "__main__":
    sys.exit(run_job("ingestion", run))
