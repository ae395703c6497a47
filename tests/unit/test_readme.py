"""The README is true: every command in it exists, every variable in it is a setting, every file in it is there."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contender.cli import app
from core.settings import Settings

REPOSITORY = Path(__file__).parent.parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def ids(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_variable_named_is_a_setting(page: Path) -> None:
    known = {f"CONTENDER_{name.upper()}" for name in Settings.model_fields}

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
