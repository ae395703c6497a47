"""`python -m training --task spy`: the training job."""

from core.jobs.runner import run_job
from training.train import run

if __name__ == "__main__":
    raise SystemExit(run_job("training", run))
