"""A task file that names what does not exist is told of when it is read, not hours later in a step."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.config.task_files import task_names
from core.errors import ConfigurationError
from tests.support.paths import TASKS
from training.models.task_check import load


def written(folder: Path, **changes: Any) -> Path:
    declared = yaml.safe_load((TASKS / "airline.yaml").read_text()) | {"name": "mine"} | changes
    (folder / "mine.yaml").write_text(yaml.safe_dump(declared))
    return folder


def only(**declared: Any) -> dict[str, Any]:
    return {"contenders": {"one": {"kind": "batch", "procedure": "ridge"} | declared}, "baseline": "one"}


@pytest.mark.parametrize("name", task_names(TASKS))
def test_the_tasks_that_come_with_the_project_name_only_what_exists(name: str) -> None:
    assert load(TASKS, name).name == name


@pytest.mark.parametrize(
    ("changes", "wrong", "known"),
    [
        ({"features": ["moon"]}, "'moon'", "ma_ratio, month"),
        ({"features": [{"lag": {"m": 1}}]}, "no parameter m", "n, a whole number from 1"),
        (only(procedure="rigde"), "'rigde'", "ridge, seasonal_ridge"),
        (only(kind="baseline"), "ridge is of kind batch", "mine.yaml"),
        (only(procedure="logistic_regression"), "cannot predict a value", "mine.yaml"),
        (only(parameters={"alfa": 1}), "alfa", "Known parameters: alpha"),
        ({**only(procedure="seasonal_ridge"), "features": ["month"]}, "lag 1, lag 2 and month", "features:"),
    ],
)
def test_what_does_not_exist_is_told_with_the_file_and_what_does(
    tmp_path: Path, changes: dict[str, Any], wrong: str, known: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, **changes), "mine")

    assert caught.value.problem.startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert wrong in caught.value.problem
    assert known in caught.value.remedy


def test_checking_every_kind_of_contender_imports_neither_scikit_learn_nor_river() -> None:
    program = (
        "import sys; from pathlib import Path; from training.models.task_check import load; "
        "load(Path('tasks'), 'spy'); load(Path('tasks'), 'airline'); "
        "sys.exit(', '.join({'sklearn', 'river', 'mlflow', 'scipy'} & set(sys.modules)) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=TASKS.parent, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
