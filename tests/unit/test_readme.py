"""The README is true: every command in it exists, every variable in it is a setting, every file in it is there."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contender.cli.main import app
from contender.vagrant.settings import VagrantSettings
from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings, variable
from core.config.task_files import load_pushed, load_task
from core.db import access_tables, event_tables
from core.db.pipeline_tables import metadata
from features.transforms import TRANSFORMS
from serving.pushed.metric_report import _GAUGES
from tests.support.paths import REPOSITORY
from training.models.catalog import PROCEDURES, make
from training.models.online_catalog import ONLINE
from training.models.task_check import check_pushed

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def ids(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_variable_named_is_a_setting(page: Path) -> None:
    known = {f"CONTENDER_{name.upper()}" for name in {**Settings.model_fields, **VagrantSettings.model_fields}}

    assert set(re.findall(r"\bCONTENDER_[A-Z_]+\b", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_make_target_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))

    named = re.findall(r"(?:^|`)(?:[A-Z_]+=\S+ )*make ([a-z-]+)", page.read_text(), re.M)
    assert set(named) <= targets


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_contender_command_named_parses(page: Path) -> None:
    for words in re.findall(r"(?:^|`|bin/)contender ([a-z]+)", page.read_text(), re.M):
        told = CliRunner().invoke(app, [words, "--help"])
        assert told.exit_code == 0, f"{page.name}: contender {words}: {told.output}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_operation_page_lists_every_setting() -> None:
    page = (REPOSITORY / "docs" / "operation.md").read_text()

    for name, field in Settings.model_fields.items():
        assert re.search(rf"\| `{variable(name)}` \| .*{re.escape(field.description or '?')} \|", page), name


def test_the_task_page_lists_every_transform_and_procedure() -> None:
    page = (REPOSITORY / "docs" / "tasks.md").read_text()

    for name in TRANSFORMS:
        assert re.search(rf"^\| `{name}(: {{n}})?` \|", page, re.M), name
    for name, procedure in PROCEDURES.items():
        assert f"| `{name}` | {procedure.kind} |" in page, name


def test_the_example_task_of_the_task_page_is_one(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "tasks.md").read_text()
    example = re.search(r"```yaml\n(name: visitors\n.*?)```", page, re.S)
    assert example is not None
    (tmp_path / "visitors.yaml").write_text(example[1])

    task = load_task(tmp_path, "visitors")

    assert [make(task, name) for name in task.contenders]


def test_the_example_of_a_pushed_task_is_one(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "tasks.md").read_text()
    example = re.search(r"```yaml\n(name: heating\n.*?)```", page, re.S)
    assert example is not None
    (tmp_path / "heating.yaml").write_text(example[1])

    check_pushed(load_pushed(tmp_path, "heating"), model_name="")


def test_the_task_page_lists_every_field_of_a_pushed_task() -> None:
    section = (REPOSITORY / "docs" / "tasks.md").read_text().split("## Tasks to which rows are pushed")[1]

    for name in set(PushedTask.model_fields) - {"name", "title", "source"}:
        assert f"| `{name}` |" in section, name


def test_the_learning_page_and_the_readme_list_every_model() -> None:
    page = (REPOSITORY / "docs" / "learning.md").read_text()
    readme = (REPOSITORY / "README.md").read_text()

    for name, procedure in ONLINE.items():
        assert f"`{name}`" in page, name
        assert f"`{name}`" in readme or procedure.outcome == "binary" or f"={name} " in readme, name


def test_the_operation_page_lists_every_table() -> None:
    page = (REPOSITORY / "docs" / "operation.md").read_text()
    assert event_tables.metadata is access_tables.metadata is metadata

    for name in metadata.tables:
        assert f"| `{name}` |" in page, name


def test_the_operation_page_lists_every_metric() -> None:
    section = (REPOSITORY / "docs" / "operation.md").read_text().split("## Metrics")[1].split("\n## ")[0]
    sources = (REPOSITORY / "serving" / name for name in ("runtime/prometheus.py", "pushed/metric_report.py"))
    defined = {
        name for source in sources for name in re.findall(r'"([a-z]+(?:_[a-z]+)+)",\s+"[A-Z]', source.read_text())
    }

    assert {"http_requests", "model_version_served", "ml_model_rows_learned"} <= defined
    assert not [name for name in defined if not re.search(rf"`{name}(_total)?`", section)]
    assert all(f"_{name}`" in section for name in _GAUGES)
