"""Where the repository and the task files that come with it lie."""

from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
TASKS = REPOSITORY / "tasks"
