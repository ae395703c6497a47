"""What a task file's author reads when it cannot be used: the field, what is wrong, what would do."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from core.config.task_files import load_task
from core.errors import ConfigurationError
from tests.support.paths import REPOSITORY

AIRLINE = yaml.safe_load((REPOSITORY / "tasks" / "airline.yaml").read_text())


def complaint(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_task(folder, "mine")
    assert "pydantic" not in str(caught.value)
    assert "Value error" not in str(caught.value)
    return caught.value.problem.removeprefix(f"{folder}/")


def ridge(**declared: Any) -> dict[str, Any]:
    contender = {"kind": "batch", "procedure": "ridge"} | declared
    return {"contenders": {"ridge": contender}, "baseline": "ridge"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"gate": {"foo": 1}},
            "there is no field `foo` in gate; it has rule, alpha, margin, block, min_rows, max_staleness, probation",
        ),
        (
            {"gate": {"alfa": 0.1}},
            "there is no field `alfa` in gate (did you mean `alpha`?); "
            "it has rule, alpha, margin, block, min_rows, max_staleness, probation",
        ),
        (
            {"gate": {"alpha": 0, "block": "five"}},
            "`gate.alpha` is 0: it must be greater than 0. Also, `gate.block` is 'five': it must be a whole number",
        ),
        (ridge(first_fit=1), "`contenders.ridge.first_fit` is 1: it must be greater than or equal to 10"),
        (ridge(kind="btch"), "`contenders.ridge.kind` is 'btch': it must be 'baseline', 'batch' or 'incremental'"),
        (ridge(window=1.5), "`contenders.ridge.window` is 1.5: it must be a whole number"),
        (
            ridge(parameters={"alpha": [1]}),
            "`contenders.ridge.parameters.alpha` is [1]: it must be a number, a text, true or false",
        ),
        ({"features": []}, "`features` is []: it must have at least one entry"),
        ({"features": "month"}, "`features` is 'month': it must be a list, one `- entry` a line"),
        (
            {"features": ["month", {"lag": 1}]},
            "`features.2.parameters` is 1: it must be names with their values, such as {n: 3}",
        ),
        (
            {"features": [{"lag": {"n": 1}, "month": None}]},
            "`features.1`: a feature is written `- day_of_week` or, with its parameters, `- ma_ratio: {n: 20}`",
        ),
        ({"target": "value"}, "`target` must be an entry with the fields kind, threshold"),
        ({"start": "soon"}, "`start` is 'soon': it must be a date, such as 2010-01-31"),
        ({"start": None}, "`start` is empty: it must be a date, such as 2010-01-31"),
        ({"name": "My Task"}, "`name` is 'My Task': it must be small letters, digits and -, with a letter first"),
    ],
)
def test_a_fault_is_told_in_words(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    assert complaint(tmp_path, yaml.safe_dump(AIRLINE | {"name": "mine"} | changes)) == f"mine.yaml: {told}."


def test_every_field_that_is_missing_is_named(tmp_path: Path) -> None:
    less = {name: value for name, value in AIRLINE.items() if name not in ("series", "baseline")}

    told = complaint(tmp_path, yaml.safe_dump(less | {"name": "mine"}))

    assert told == "mine.yaml: `series` is missing. Also, `baseline` is missing."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "mine.yaml: it must hold fields, such as `name: spy`."),
        ("a: 1\nb: [", "mine.yaml is not YAML: line 2, column 5: expected the node content, but found '<stream end>'."),
        ("start: 2018-13-01", "mine.yaml is not YAML: month must be in 1..12."),
        ("gate: {alpha: 0.1, alpha: 0.2}", "mine.yaml is not YAML: line 1, column 20: alpha is given twice."),
        ("title: one\ntitle: two", "mine.yaml is not YAML: line 2, column 1: title is given twice."),
    ],
)
def test_a_file_that_holds_no_fields_says_where_it_stops_making_sense(tmp_path: Path, text: str, told: str) -> None:
    assert complaint(tmp_path, text) == told


def test_a_file_below_the_working_directory_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text("name: mine")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match=r"^tasks/mine\.yaml: `title` is missing"):
        load_task(tmp_path / "tasks", "mine")
