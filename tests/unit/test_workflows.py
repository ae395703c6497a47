"""The workflows of GitHub: as its schema has them, with no more rights than they need, and calling what people call."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import REPOSITORY

GITHUB = REPOSITORY / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


def ids(path: Path) -> str:
    return path.stem


def read(path: Path) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(path.read_text())
    return document


@pytest.mark.parametrize(
    ("schema", "paths"),
    [("vendor.github-workflows", WORKFLOWS), ("vendor.dependabot", [GITHUB / "dependabot.yml"])],
    ids=["workflows", "dependabot"],
)
def test_the_schema_of_github_knows_every_word(schema: str, paths: list[Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    workflow = read(path)

    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        rights = job.get("permissions", {})
        assert {right for right, given in rights.items() if given == "write"} <= {"packages"}, name
        assert job["timeout-minutes"] <= 120, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_a_workflow_can_be_started_by_hand_and_runs_once_at_a_time(path: Path) -> None:
    workflow = read(path)

    assert "workflow_dispatch" in workflow[True]  # YAML reads the word `on` as true
    assert "github.ref" in workflow["concurrency"]["group"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_an_action_is_named_by_its_commit_and_its_version(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())

    assert used
    for line in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v?\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_what_a_workflow_makes_is_a_target_that_people_have(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))

    assert set(re.findall(r"\bmake ([a-z-]+)", path.read_text())) <= targets


@pytest.mark.parametrize("path", WORKFLOWS, ids=ids)
def test_no_step_keeps_the_token_of_the_checkout_or_writes_what_others_said_into_a_script(path: Path) -> None:
    for job in read(path)["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            assert "${{" not in step.get("run", "")
