"""The command `contender` in this process, for a stage whose task has a file."""

from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from typer.testing import CliRunner

from contender.cli.main import app
from core.config.settings import Settings, child_environment
from tests.support.stage import Stage

AWAY = "http://127.0.0.1:9"


class Terminal:
    """Types `contender …` with the environment of one home."""

    def __init__(self, settings: Settings, patch: pytest.MonkeyPatch) -> None:
        for name, value in child_environment(settings).items():
            if name.startswith("CONTENDER_"):
                patch.setenv(name, value)

    def __call__(self, *words: str, columns: int = 200) -> tuple[int, str]:
        told = CliRunner().invoke(app, words, env={"COLUMNS": str(columns)})
        return told.exit_code, told.stdout


def declared(settings: Settings, engine: sa.Engine, tasks: Path) -> Stage:
    """A stage whose task is a file in a folder of its own."""
    stage = Stage(settings.model_copy(update={"tasks": tasks}), engine)
    tasks.mkdir()
    (tasks / f"{stage.task.name}.yaml").write_text(yaml.safe_dump(stage.task.model_dump(mode="json")))
    return stage
