"""What a person reads when all is up: what the champions say, where to look, what to do next."""

import time
from collections.abc import Callable
from typing import Any

import requests
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from core.settings import Settings

FIRST_ANSWER_SECONDS = 15.0
SHOWN_MODELS = 3
_TRAINING_VIEW = "?workflowType=machine_learning"
"""Makes MLflow's page show models and runs rather than prompts and traces; its list of all models does not heed it."""
_TOMORROW_BESIDE = "`contender run` in another terminal or cron"


def announcer(console: Console, *, detach: bool) -> Callable[[Settings], None]:
    """What tells a person, once everything answers, what the champions say, where to look and what to do next."""

    def announce(settings: Settings) -> None:
        api = f"http://{settings.api_host}:{settings.api_port}"
        console.print()
        console.print(champions(api, wait_seconds=FIRST_ANSWER_SECONDS))
        tasks = {task["name"]: "champion" in task for task in _tasks(api)}
        text = "\n".join(_lines(api, settings.mlflow_url, tasks, detach=detach))
        console.print(Panel(text, title="Contender is up", expand=False, border_style="green"))

    return announce


def champions(api_url: str, wait_seconds: float = 0.0) -> Table:
    """What the champions say, as the API tells it: three short lines a task, readable on a narrow terminal.

    An API that has just started may not have loaded all champions; it is asked again for at most `wait_seconds`.
    """
    grid = Table.grid(padding=(0, 2))
    until = time.monotonic() + wait_seconds
    for task in _tasks(api_url):
        path = f"{api_url}{task['prediction']}"
        while (answer := requests.get(path, timeout=5)).status_code == 503 and time.monotonic() < until:
            time.sleep(0.25)
        told = answer.json()
        grid.add_row(f"[bold]{task['name']}[/bold]", _said(told) if answer.ok else escape(told["detail"]))
    return grid


def _lines(api: str, mlflow: str, tasks: dict[str, bool], *, detach: bool) -> list[str]:
    """`tasks` says of each whether it has a champion."""
    asked = "/predictionForTomorrow" if "spy" in tasks else f"/tasks/{min(tasks)}/prediction"
    models = [name for name, is_served in tasks.items() if is_served][:SHOWN_MODELS]
    return [
        "[bold]Tomorrow's prediction[/bold]" if "spy" in tasks else "[bold]The next prediction[/bold]",
        f"  curl {api}{asked}",
        "",
        "[bold]Models and their aliases; all runs[/bold]",
        *[f"  {mlflow}/#/models/{name}{_TRAINING_VIEW}" for name in models],
        f"  {mlflow}/#/experiments{_TRAINING_VIEW}",
        "",
        f"[bold]API documentation[/bold]  {api}/",
        "",
        "[bold]Next[/bold]  Move `champion` in the MLflow page; the API follows in seconds.",
        f"      {'`contender run` tomorrow' if detach else _TOMORROW_BESIDE} takes in tomorrow's data.",
        "      Stop with `contender down`." if detach else "      Stop with Ctrl-C; nothing is lost.",
    ]


def _tasks(api_url: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = requests.get(f"{api_url}/tasks", timeout=5).json()["tasks"]
    return tasks


def _said(told: dict[str, Any]) -> str:
    is_direction = isinstance(told["prediction"], str)
    what = f"{told['prediction']}, P(UP) {told['confidence']:.3f}," if is_direction else f"{told['prediction']:.1f}"
    return (
        f"{what} for {told['target_date']}\n"
        f"champion: {told['contender']}, version {told['model_version']}; "
        f"beats the baseline: {told['beats_baseline']}\n"
        f"data: {told['data_source']}, {told['data_age_days']:,} days old" + (" (stale)" if told["stale"] else "")
    )
