from pathlib import Path

import pytest
import yaml

from core.config.task_files import load_task, task_names
from core.config.tasks import Feature
from core.errors import ConfigurationError, NotFoundError
from tests.support.paths import TASKS


def written(folder: Path, **changes: object) -> Path:
    declared = yaml.safe_load((TASKS / "spy.yaml").read_text()) | {"name": "mine"} | changes
    (folder / "mine.yaml").write_text(yaml.safe_dump(declared))
    return folder


@pytest.mark.parametrize("name", task_names(TASKS))
def test_every_task_that_comes_with_the_project_loads(name: str) -> None:
    assert load_task(TASKS, name).name == name


def test_spy_asks_yahoo_and_falls_back_to_the_sample() -> None:
    spy = load_task(TASKS, "spy")

    assert (spy.source, spy.fallback, spy.series) == ("yahoo", "sample", "SPY")


def test_a_feature_is_written_as_a_name_or_as_a_name_with_parameters() -> None:
    spy = load_task(TASKS, "spy")

    assert Feature(transform="range") in spy.features
    assert Feature(transform="ma_ratio", parameters={"n": 20}) in spy.features


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="airline, spy"):
        load_task(TASKS, "spx")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"surce": "yahoo"}, "surce"),
        ({"baseline": "nobody"}, "nobody"),
        ({"calendar": None}, "XNYS"),
        ({"source": "csv"}, "location"),
        ({"target": {"kind": "direction", "threshold": 1.5}}, "threshold"),
        ({"contenders": {"a/b": {"kind": "baseline", "procedure": "naive"}}, "baseline": "a/b"}, "MLflow"),
        ({"name": "other"}, "other"),
        ({"gate": {"alpha": 0}}, "alpha"),
    ],
)
def test_a_task_file_that_cannot_work_says_which_field_and_why(
    tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        load_task(written(tmp_path, **changes), "mine")


def test_a_file_that_is_not_yaml_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: [")

    with pytest.raises(ConfigurationError, match="not YAML"):
        load_task(tmp_path, "mine")


def test_the_gate_does_not_change_what_a_contender_is(tmp_path: Path) -> None:
    before = load_task(written(tmp_path), "mine")
    after = load_task(written(tmp_path, gate={"alpha": 0.01}), "mine")

    assert after.contender_hash("logistic") == before.contender_hash("logistic")
    assert after.config_hash != before.config_hash


def test_other_features_make_another_contender(tmp_path: Path) -> None:
    before = load_task(written(tmp_path), "mine")
    after = load_task(written(tmp_path, features=["range"]), "mine")

    assert after.contender_hash("logistic") != before.contender_hash("logistic")
