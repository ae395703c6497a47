"""`pip install .` into another environment, away from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent.parent
SOURCES = ("core", "web", "ingestion", "features", "training", "monitoring", "serving", "contender", "tasks")
FILES = ("pyproject.toml", "README.md", "LICENSE", "requirements.in", "requirements-dev.in")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of an environment that has Contender, and what it needs from this one."""
    folder = tmp_path_factory.mktemp("installed")
    # A copy, for the build writes beside the sources.
    for name in SOURCES:
        shutil.copytree(REPOSITORY / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(REPOSITORY / name, folder / "source")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    libraries = sysconfig.get_path("purelib", vars={"base": str(folder / "venv")})
    Path(libraries, "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*command, "--no-index", folder / "source"], check=True)
    return python.parent


def run(command: list[str | Path], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONTENDER_", "PYTHON"))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_finds_the_installed_code_and_task_files(installed: Path, tmp_path: Path) -> None:
    code = """
import json
import core, serving
from alembic.script import ScriptDirectory
from core.config.settings import load_settings
from core.db import engine
from pathlib import Path
settings = load_settings()
print(json.dumps({
    "tasks": sorted(path.name for path in settings.tasks.glob("*.yaml")),
    "code": [core.__file__, str(settings.tasks)],
    "migrations": len(list(ScriptDirectory(str(Path(engine.__file__).parent / "migrations")).walk_revisions())),
    "pages": sorted(path.name for path in Path(serving.__file__).parent.rglob("*.html")),
}))
"""
    found = json.loads(run([installed / "python", "-c", code], tmp_path))

    assert all(path.startswith(str(installed.parent)) for path in found["code"])
    assert found["tasks"] == sorted(path.name for path in (REPOSITORY / "tasks").glob("*.yaml"))
    assert found["migrations"] == len(list((REPOSITORY / "core" / "db" / "migrations" / "versions").glob("[!_]*.py")))
    assert found["pages"] == sorted(path.name for path in (REPOSITORY / "serving").rglob("*.html"))


def test_its_commands_run_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert "Usage" in run([installed / "contender", "--help"], tmp_path)
    for module in ("ingestion", "features", "training", "training.promote", "monitoring"):
        assert "usage" in run([installed / "python", "-m", module, "--help"], tmp_path)


def test_a_folder_of_tasks_beside_it_wins_over_the_installed_ones(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    code = "from core.config.settings import load_settings; print(load_settings().tasks)"

    assert run([installed / "python", "-c", code], tmp_path).strip() == str(tmp_path / "tasks")
