"""Which code made a model: the commit of the checkout it runs from, or what the settings say of an installed copy."""

import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.config.settings import Settings

_GIT_SECONDS = 10


def code_version(settings: Settings) -> str:
    """The commit (`-dirty` when files were changed since), or `settings.code_version`, or the installed release."""
    return settings.code_version or _commit(Path(__file__).parent) or _release()


@lru_cache(maxsize=4)
def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(  # noqa: S603 (fixed arguments)
            command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _release() -> str:
    try:
        return f"contender {version('contender')}"
    except PackageNotFoundError:
        return "unknown"
