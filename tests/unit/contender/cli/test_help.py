"""The help of every command, and the page at `/`, explain themselves to somebody who has not read the code."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from contender.cli.main import app
from core.config.task_files import display_path
from tests.support.paths import REPOSITORY

PRIVATE_WORDS = re.compile(
    r"\b(crown\w*|nights?|said|told|nobody|anew|whoever|stands|unfit|guardian|twin|reign|asked)\b", re.IGNORECASE
)


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    # Not by its class: typer may bring a click of its own.
    for part, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {part}")


COMMANDS = dict(commands(typer.main.get_command(app), "contender"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options_say_what_they_do_in_plain_words(name: str) -> None:
    command = COMMANDS[name]
    helps = [command.help, *(getattr(option, "help", "-") for option in command.params)]

    assert len(COMMANDS) > 15
    assert all(helps), name
    assert not [text for text in helps if PRIVATE_WORDS.search(text or "")]


def test_the_version_is_that_of_the_installed_package() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert (result.exit_code, result.output) == (0, f"contender {version('contender')}\n")


def test_the_page_at_the_root_is_in_plain_words() -> None:
    assert not PRIVATE_WORDS.findall((REPOSITORY / "serving" / "pages" / "index.html").read_text())


def test_a_folder_is_shown_as_it_would_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert display_path(tmp_path / "home" / "postgres") == "home/postgres"
    assert display_path(tmp_path.parent / "home" / "postgres") == str(tmp_path.parent / "home" / "postgres")
