"""MLflow's artifacts in S3: the bucket is made once, and a model comes back as it went."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import mlflow
import pytest
from mlflow.tracking import MlflowClient
from moto.server import ThreadedMotoServer

from contender.cluster import bucket
from contender.servers.processes import Postgres, free_port, start_mlflow, wait_for_mlflow
from core.config.settings import Settings
from core.errors import ConfigurationError, UnreachableError


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A stand-in for S3 on loopback, named to every client as the manifests do it."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield "s3://mlflow"
    server.stop()


def test_the_bucket_is_made_where_there_is_none(s3: str) -> None:
    settings = Settings(mlflow_artifacts=s3)

    assert bucket.run(settings) == "the bucket mlflow is created"
    assert bucket.run(settings) == "the bucket mlflow exists"


def test_an_s3_that_is_away_is_asked_again(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(UnreachableError, match="S3 did not answer"):
        bucket.run(Settings(mlflow_artifacts=s3))


@pytest.mark.parametrize("address", ["", "/var/lib/artifacts", "s3://"])
def test_an_address_without_a_bucket_is_a_matter_of_configuration(address: str) -> None:
    with pytest.raises(ConfigurationError, match="names no bucket"):
        bucket.run(Settings(mlflow_artifacts=address))


def test_a_model_goes_to_s3_by_way_of_mlflow_and_comes_back(s3: str, postgres: Postgres, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", mlflow_artifacts=s3)
    bucket.run(settings)
    port = free_port()
    process = start_mlflow(settings, postgres.database("mlflow_s3"), port)
    try:
        wait_for_mlflow(f"http://127.0.0.1:{port}", process)
        client = MlflowClient(f"http://127.0.0.1:{port}")
        run = client.create_run(client.create_experiment("s3"))
        model = tmp_path / "model.bin"
        model.write_bytes(bytes(range(256)) * 4096)

        client.log_artifact(run.info.run_id, str(model), "model")
        (tmp_path / "back").mkdir()
        back = client.download_artifacts(run.info.run_id, "model/model.bin", str(tmp_path / "back"))

        assert Path(back).read_bytes() == model.read_bytes()
        kept = boto3.client("s3").list_objects_v2(Bucket="mlflow")["Contents"]
        assert [entry["Size"] for entry in kept] == [1024 * 1024]
        assert not (settings.home / "artifacts").exists(), "nothing lies on the server's disk"
    finally:
        process.stop()
        assert mlflow.active_run() is None
