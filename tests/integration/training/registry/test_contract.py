"""What the product relies on of a model registry and of a tracker, on MLflow and on the folder that tests use for it.

The folder is worth only as much as this list: whatever else the product comes to rely on belongs here first.
"""

import uuid
from pathlib import Path

import polars as pl
import pytest

from core.config.settings import Settings
from core.errors import ConfigurationError, NotFoundError, RegistryUnreachableError
from features.dataset import Dataset
from tests.support.registry import delete_alias, delete_model, delete_version, is_folder, run_statuses
from tests.support.shared_servers import Mlflow
from tests.support.stage import known, month
from training.registry.base import POLL, MetricPoint, ModelRegistry, RunRecord
from training.registry.factory import open_registry, open_tracker
from training.registry.file_registry import FileRegistry


@pytest.fixture(params=["mlflow", "folder"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that lead to one of the two."""
    if request.param == "folder":
        (tmp_path / "a registry").mkdir()
        return Settings(home=tmp_path, mlflow_url=(tmp_path / "a registry").as_uri())
    server: Mlflow = request.getfixturevalue("mlflow_server")
    return Settings(home=tmp_path, mlflow_url=server.url)


@pytest.fixture
def registry(at: Settings) -> ModelRegistry:
    return open_registry(at)


@pytest.fixture
def name() -> str:
    """A model and an experiment that no other test has."""
    return f"contract-{uuid.uuid4().hex[:8]}"


@pytest.fixture(params=["http://127.0.0.1:9", "file:///no/such/folder"])
def away(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that lead to where nothing is."""
    return Settings(home=tmp_path, mlflow_url=request.param)


def record(folder: Path, key: str = "a/key", model: bytes = b"a model", **params: str) -> RunRecord:
    """A run with one file in its model folder and one picture."""
    for path, content in (("model/data/model.pkl", model), ("model/MLmodel", b"{}"), ("pictures/a.png", b"png")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    points = [MetricPoint("mae", 2.0, 1, 1_000), MetricPoint("mae", 1.5, 2, 2_000)]
    return RunRecord(key, "a name", "what it is", {"tag": "1"}, params or {"p": "1"}, points, folder)


def registered(at: Settings, name: str, folder: Path, count: int = 1) -> str:
    """Makes a model with so many versions of one run, and returns the run's id."""
    registry = open_registry(at)
    registry.ensure_model(name, "a title")
    tracker = open_tracker(at, name)
    run = tracker.log(record(folder))
    for number in range(1, count + 1):
        made = registry.create_version(
            name, source=run.source, run_id=run.run_id, tags={"number": str(number)}, description="one"
        )
        assert made == number
    tracker.finish(run.run_id)
    return run.run_id


def test_what_does_not_exist_is_absent(registry: ModelRegistry, name: str, tmp_path: Path) -> None:
    assert registry.aliases(name) is None
    assert registry.find(name, 1) is None
    assert registry.versions_above(name, 0) == []
    assert registry.newest_versions(name, 10) == []
    assert registry.artifacts_of("0" * 32) is None
    assert registry.has_experiment(name) is False
    with pytest.raises(NotFoundError, match="no version 1"):
        registry.download(name, 1, tmp_path / "model")
    with pytest.raises(NotFoundError, match="no version 1"):
        registry.set_alias(name, "champion", 1)
    registry.delete_model(name)
    registry.delete_experiment(name)


def test_a_version_of_a_model_that_does_not_exist_is_not_made(at: Settings, name: str, tmp_path: Path) -> None:
    run = open_tracker(at, name).log(record(tmp_path / "run"))

    with pytest.raises(NotFoundError, match="no registered model"):
        open_registry(at).create_version(name, source=run.source, run_id=run.run_id, tags={}, description="")


def test_what_does_not_answer_is_unreachable_and_never_absent(away: Settings, tmp_path: Path) -> None:
    registry = open_registry(away, POLL)

    for ask in (
        lambda: registry.aliases("spy"),
        lambda: registry.ensure_model("spy", ""),
        lambda: registry.create_version("spy", source="", run_id="", tags={}, description=""),
        lambda: registry.versions_above("spy", 0),
        lambda: registry.newest_versions("spy", 1),
        lambda: registry.find("spy", 1),
        lambda: registry.set_alias("spy", "champion", 1),
        lambda: registry.delete_model("spy"),
        lambda: registry.download("spy", 1, tmp_path / "model"),
        lambda: registry.artifacts_of("0" * 32),
        lambda: registry.has_experiment("spy"),
        lambda: registry.delete_experiment("spy"),
        lambda: open_tracker(away, "spy"),
    ):
        with pytest.raises(RegistryUnreachableError):
            ask()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("wrong", ["", "a/b", "a:b", "a'b"])
def test_a_name_that_mlflow_cannot_take_is_refused(registry: ModelRegistry, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a model"):
        registry.aliases(wrong)
    with pytest.raises(ConfigurationError, match="cannot name a model"):
        registry.ensure_model(wrong, "")


def test_a_model_is_made_once(at: Settings, registry: ModelRegistry, name: str) -> None:
    registry.ensure_model(name, "a title")
    registry.ensure_model(name, "another title")

    assert registry.aliases(name) == {}
    assert description(at, name) == "a title"


def test_versions_are_numbered_from_one_and_listed_newest_first(at: Settings, name: str, tmp_path: Path) -> None:
    run_id = registered(at, name, tmp_path / "run", 3)
    registry = open_registry(at)

    assert [one.version for one in registry.versions_above(name, 0)] == [3, 2, 1]
    assert [one.version for one in registry.versions_above(name, 2)] == [3]
    assert [one.version for one in registry.newest_versions(name, 2)] == [3, 2]
    found = registry.find(name, 2)
    assert found is not None
    assert (found.version, found.run_id, dict(found.tags)) == (2, run_id, {"number": "2"})
    assert found.source == f"{registry.artifacts_of(run_id)}/model"
    assert registry.find(name, 4) is None


def test_an_alias_moves_to_versions_that_exist_and_nowhere_else(at: Settings, name: str, tmp_path: Path) -> None:
    registered(at, name, tmp_path / "run", 2)
    registry = open_registry(at)

    assert registry.aliases(name) == {}
    registry.set_alias(name, "champion", 1)
    registry.set_alias(name, "challenger", 2)
    registry.set_alias(name, "champion", 2)
    with pytest.raises(NotFoundError, match="it was deleted"):
        registry.set_alias(name, "champion", 99)

    assert registry.aliases(name) == {"champion": 2, "challenger": 2}


def test_an_alias_that_a_person_took_away_is_absent(at: Settings, name: str, tmp_path: Path) -> None:
    registered(at, name, tmp_path / "run")
    open_registry(at).set_alias(name, "champion", 1)
    open_registry(at).set_alias(name, "challenger", 1)

    delete_alias(at, name, "champion")

    assert open_registry(at).aliases(name) == {"challenger": 1}


def test_a_deleted_version_takes_its_aliases_with_it_and_its_number_is_not_given_again(
    at: Settings, name: str, tmp_path: Path
) -> None:
    run_id = registered(at, name, tmp_path / "run", 2)
    registry = open_registry(at)
    registry.set_alias(name, "challenger", 1)
    registry.set_alias(name, "champion", 2)

    delete_version(at, name, 2)

    assert registry.aliases(name) == {"challenger": 1}
    assert registry.find(name, 2) is None
    assert [one.version for one in registry.versions_above(name, 0)] == [1]
    with pytest.raises(NotFoundError, match="it was deleted"):
        registry.set_alias(name, "champion", 2)
    with pytest.raises(NotFoundError, match="no version 2"):
        registry.download(name, 2, tmp_path / "model")
    source = f"{registry.artifacts_of(run_id)}/model"
    assert registry.create_version(name, source=source, run_id=run_id, tags={}, description="") == 3


def test_a_deleted_model_leaves_its_runs_and_one_made_again_is_numbered_from_one(
    at: Settings, name: str, tmp_path: Path
) -> None:
    run_id = registered(at, name, tmp_path / "run", 2)
    registry = open_registry(at)
    registry.set_alias(name, "champion", 2)

    delete_model(at, name)

    assert registry.aliases(name) is None
    assert registry.find(name, 1) is None
    assert registry.versions_above(name, 0) == []
    registry.ensure_model(name, "again")
    source = f"{registry.artifacts_of(run_id)}/model"
    assert registry.create_version(name, source=source, run_id=run_id, tags={}, description="") == 1
    assert registry.aliases(name) == {}
    assert (registry.download(name, 1, tmp_path / "model") / "data" / "model.pkl").read_bytes() == b"a model"


def test_a_download_replaces_the_folder_by_the_files_of_the_version(at: Settings, name: str, tmp_path: Path) -> None:
    registered(at, name, tmp_path / "run")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").write_text("of another version")

    assert open_registry(at).download(name, 1, folder) == folder

    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {"data/model.pkl": b"a model", "MLmodel": b"{}"}


def test_a_deleted_experiment_takes_the_files_of_its_runs_with_it_and_can_be_made_again(
    at: Settings, name: str, tmp_path: Path
) -> None:
    run_id = registered(at, name, tmp_path / "run")
    registry = open_registry(at)
    assert registry.has_experiment(name)

    registry.delete_experiment(name)

    assert not registry.has_experiment(name)
    assert registry.artifacts_of(run_id) is not None
    with pytest.raises(NotFoundError, match="has no files"):
        registry.download(name, 1, tmp_path / "model")
    again = open_tracker(at, name)
    assert registry.has_experiment(name)
    assert again.finished("a/key") is None


def test_a_run_is_open_until_it_is_finished_and_found_by_its_key_after(at: Settings, name: str, tmp_path: Path) -> None:
    tracker = open_tracker(at, name)
    run = tracker.log(record(tmp_path / "run"))

    assert (tracker.finished("a/key"), run_statuses(at, name)) == (None, ["RUNNING"])
    tracker.finish(run.run_id)

    assert (tracker.finished("a/key"), run_statuses(at, name)) == (run.run_id, ["FINISHED"])
    assert tracker.finished("another/key") is None


def test_an_open_run_is_completed_by_the_next_tracker_and_a_finished_one_is_not(
    at: Settings, name: str, tmp_path: Path
) -> None:
    first = open_tracker(at, name).log(record(tmp_path / "run", model=b"half"))
    second = open_tracker(at, name)
    other = second.log(record(tmp_path / "other", key="b/key"))

    again = second.log(record(tmp_path / "run", model=b"whole"))
    second.finish(again.run_id)
    third = open_tracker(at, name).log(record(tmp_path / "run"))

    assert first == again
    assert len({first.run_id, other.run_id, third.run_id}) == 3
    assert sorted(run_statuses(at, name)) == ["FINISHED", "RUNNING", "RUNNING"]
    registry = open_registry(at)
    registry.ensure_model(name, "")
    registry.create_version(name, source=again.source, run_id=again.run_id, tags={}, description="")
    assert (registry.download(name, 1, tmp_path / "model") / "data" / "model.pkl").read_bytes() == b"whole"


def test_a_parameter_of_an_open_run_is_not_changed(at: Settings, name: str, tmp_path: Path) -> None:
    open_tracker(at, name).log(record(tmp_path / "run", p="1"))

    with pytest.raises(ConfigurationError, match="MLflow refused"):
        open_tracker(at, name).log(record(tmp_path / "run", p="2"))


def test_a_run_may_have_a_dataset_for_its_input(at: Settings, name: str, tmp_path: Path) -> None:
    table = pl.DataFrame({"in_1": [1.0, 2.0], "label": [1.0, None], "event_date": [month(0), month(1)]})
    dataset = Dataset(name, "a-series", "test", known(2), table, ("in_1",), "a-hash", "a-declaration")

    run = open_tracker(at, name, dataset).log(record(tmp_path / "run"))

    assert inputs(at, name, run.run_id) == [("a-series", "a-hash")]


def description(at: Settings, model: str) -> str:
    if is_folder(at):
        return FileRegistry(at.mlflow_url).description(model)
    from mlflow import MlflowClient

    described: str = MlflowClient(at.mlflow_url, at.mlflow_url).get_registered_model(model).description
    return described


def inputs(at: Settings, experiment: str, run_id: str) -> list[tuple[str, str]]:
    if is_folder(at):
        (run,) = FileRegistry(at.mlflow_url).runs(experiment)
        return list(run.inputs)
    from mlflow import MlflowClient

    found = MlflowClient(at.mlflow_url).get_run(run_id).inputs.dataset_inputs
    return [(one.dataset.name, one.dataset.digest) for one in found]
