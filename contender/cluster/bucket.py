"""`python -m contender.cluster.bucket`: create the S3 bucket in which MLflow keeps artifacts, where there is none.

The address of S3 and the credentials are in the AWS_… variables that every client of S3 reads.
"""

import sys
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from core.config.settings import Settings
from core.errors import ConfigurationError, UnreachableError
from core.jobs.runner import run_command

_ABSENT = "404"
_OURS = "BucketAlreadyOwnedByYou"
# One attempt: the scheduler tries the job again, with its own pauses.
_SHORT = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1})


def bucket_of(address: str) -> str:
    """The bucket of an address.

    >>> bucket_of("s3://mlflow/models")
    'mlflow'
    """
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigurationError(
            f"CONTENDER_MLFLOW_ARTIFACTS is {address!r}, which names no bucket.", "Set it to s3://BUCKET."
        )
    return parts.netloc


def run(settings: Settings) -> str:
    """Create the bucket.

    Raises:
        UnreachableError: S3 does not answer; it may be starting.
        ConfigurationError: S3 refused, or the address names no bucket.

    """
    name = bucket_of(settings.mlflow_artifacts)
    client = boto3.client("s3", config=_SHORT)
    try:
        try:
            client.head_bucket(Bucket=name)
        except ClientError as error:
            if _code(error) != _ABSENT:
                raise
            client.create_bucket(Bucket=name)
            return f"the bucket {name} is created"
    except ClientError as error:
        if _code(error) != _OURS:  # another pod has created it since the look above
            raise ConfigurationError(
                f"S3 refused the bucket {name}: {error}.",
                "Check the AWS_… variables, and the permissions of their user.",
            ) from None
    except BotoCoreError as error:
        raise UnreachableError(f"S3 did not answer: {error}.", "The job is tried again.") from None
    return f"the bucket {name} exists"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


if __name__ == "__main__":
    sys.exit(run_command("contender.cluster.bucket", __doc__ or "", run))
