"""What a person finds in MLflow after training: one run a version, with everything that it was made from."""

from typing import Any

import pytest
import sqlalchemy as sa

from core import fingerprint
from core.config.settings import Settings
from features import lake
from tests.support.stage import SERIES, Stage, month, wave
from training.registry.base import RunRecord
from training.registry.factory import open_registry, open_tracker


@pytest.fixture
def stage(settings_with_mlflow: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_mlflow, engine)


@pytest.fixture
def client(settings_with_mlflow: Settings) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(settings_with_mlflow.mlflow_url, settings_with_mlflow.mlflow_url)


def test_a_run_shows_what_a_version_was_made_from_and_how_it_did(stage: Stage, client: Any) -> None:
    stage.put(wave(40))
    _, ridge, _ = stage.train().versions

    run = client.get_run(ridge.run_id)

    assert run.info.run_name == f"ridge {ridge.trained_through}"
    assert run.info.status == "FINISHED"
    assert run.data.params["procedure"] == "ridge"
    assert run.data.params["refit_every"] == "6"
    assert run.data.params["features"] == "in_1, in_2, in_3"
    assert {"mae", "rmse", "mape", "baseline_mae", "baseline_rmse", "baseline_mape"} <= set(run.data.metrics)
    assert run.data.metrics["mae"] < run.data.metrics["baseline_mae"]
    assert run.data.tags["code_version"] == fingerprint.code_version(stage.settings.code_version)
    assert "trained on" in run.data.tags["mlflow.note.content"]


def test_metrics_are_kept_over_time_and_end_with_all_rows(stage: Stage, client: Any) -> None:
    stage.put(wave(40))
    naive, *_ = stage.train().versions

    history = client.get_metric_history(naive.run_id, "mae")

    assert len(history) > 20
    assert [point.step for point in history] == sorted({point.step for point in history})
    assert history[-1].value == client.get_run(naive.run_id).data.metrics["mae"]


def test_the_dataset_is_an_input_of_the_run_under_the_hash_of_its_data(stage: Stage, client: Any) -> None:
    stage.put(wave(40))
    naive, *_ = stage.train().versions
    dataset = lake.latest(stage.settings, stage.engine, stage.task.name)

    (used,) = client.get_run(naive.run_id).inputs.dataset_inputs

    assert (used.dataset.name, used.dataset.digest) == (SERIES, dataset.data_hash)
    assert naive.data_hash == dataset.data_hash


def test_pictures_and_the_model_are_artifacts_of_the_run(stage: Stage, client: Any) -> None:
    stage.put(wave(40))
    _, ridge, _ = stage.train().versions

    pictures = {file.path for file in client.list_artifacts(ridge.run_id, "pictures")}

    assert pictures == {"pictures/forecast-and-actual.png", "pictures/loss-against-baseline.png"}
    assert "model/MLmodel" in {file.path for file in client.list_artifacts(ridge.run_id, "model")}


def test_a_version_carries_the_tags_that_name_it(stage: Stage, client: Any) -> None:
    stage.put(wave(40))
    versions = {version.contender: version for version in stage.train().versions}

    tags = client.get_model_version(stage.task.name, str(versions["linear"].version)).tags

    assert tags == {
        "contender": "linear",
        "kind": "incremental",
        "contender_hash": stage.task.contender_hash("linear"),
        "series": SERIES,
        "trained_through": str(month(39)),
        "data_hash": versions["linear"].data_hash,
        "artifact_digest": versions["linear"].artifact_digest,
        "code_version": versions["linear"].code_version,
    }


def test_a_run_that_was_begun_for_the_same_version_is_gone_on_with(stage: Stage, client: Any, tmp_path: Any) -> None:
    stage.put(wave(40))
    dataset = lake.latest(stage.settings, stage.engine, stage.task.name)
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "model" / "MLmodel").write_text("{}")
    record = RunRecord("a/key", "name", "what it is", {"tag": "1"}, {"p": "1"}, [], tmp_path / "run")

    first = open_tracker(stage.settings, stage.task.name, dataset).log(record)
    again = open_tracker(stage.settings, stage.task.name, dataset)
    second = again.log(record)
    again.finish(second.run_id)
    third = open_tracker(stage.settings, stage.task.name, dataset).log(record)

    assert first == second != third
    assert client.get_run(first.run_id).info.status == "FINISHED"


def test_the_registered_model_bears_the_tasks_title(stage: Stage, client: Any) -> None:
    stage.put(wave(40))
    stage.train()

    assert client.get_registered_model(stage.task.name).description == stage.task.title
    open_registry(stage.settings).ensure_model(stage.task.name, "another title")
    assert client.get_registered_model(stage.task.name).description == stage.task.title


def test_the_code_version_is_what_the_settings_say_or_a_commit(settings: Settings) -> None:
    assert fingerprint.code_version("v1.2.3") == "v1.2.3"
    assert fingerprint.code_version("") != ""
