"""What a person reads when all is up: what the champions say, where to look, what to do next."""

import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import requests
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from contender.local.demo_clock import demo_clock
from contender.local.runner import StartedServices
from core.config.task_files import display_path

FIRST_ANSWER_SECONDS = 15.0
SHOWN_MODELS = 3
_TRAINING_VIEW = "?workflowType=machine_learning"
"""Makes MLflow's page show models and runs rather than prompts and traces; its list of all models does not heed it."""
_TOMORROW_BESIDE = "`contender run` in another terminal or cron"


def announcer(console: Console, *, detach: bool) -> Callable[[StartedServices], None]:
    """What tells a person, once everything answers, what the champions say, where to look and what to do next."""

    def announce(services: StartedServices) -> None:
        api = services.urls["api"]
        console.print()
        console.print(champions(api, wait_seconds=FIRST_ANSWER_SECONDS))
        tasks = {task["name"]: "champion" in task for task in _tasks(api)}
        token = display_path(services.admin_token) if services.admin_token is not None else None
        today = demo_clock(services.settings).now().date() if services.settings.clock_file else None
        text = "\n".join(_lines(services.urls, tasks, token, detach=detach, today=today))
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
        lines = [_said(told) if answer.ok else escape(told["detail"]), *alarms(task)]
        grid.add_row(f"[bold]{task['name']}[/bold]", "\n".join(lines))
    for task in requests.get(f"{api_url}/info", timeout=5).json()["pushed_tasks"]:
        if task["alerts"]:
            grid.add_row(f"[bold]{task['name']}[/bold]", "\n".join(alarms(task)))
    return grid


def alarms(task: Mapping[str, Any]) -> list[str]:
    """A line for each alert of a task, as the API tells of it."""
    return [
        f"[bold red]{one['alert']}[/bold red] {escape(one['problem'])}\n{escape(one['remedy'])}"
        for one in task["alerts"]
    ]


def _lines(
    urls: Mapping[str, str],
    tasks: Mapping[str, bool],
    admin_token: str | None,
    *,
    detach: bool,
    today: date | None = None,
) -> list[str]:
    """`tasks` says of each whether it has a champion; `admin_token` is the file that keeps it.

    `today` is the day of a demonstration, whose days pass by themselves; None for the machine's.
    """
    api, mlflow = urls["api"], urls["mlflow"]
    models = [name for name, is_served in tasks.items() if is_served][:SHOWN_MODELS]
    tomorrow = f"{'`contender run` tomorrow' if detach else _TOMORROW_BESIDE} takes in tomorrow's data."
    return [
        *([] if today is None else [f"[bold]It is {today}[/bold] here, and the days pass by themselves.", ""]),
        *_questions(api, tasks),
        "[bold]Models that learn as you watch[/bold] (see the README)",
        f"  curl -s {urls['ingestion'].removeprefix('http://')}/next",
        "",
        "[bold]Models and their aliases; all runs[/bold]",
        *[f"  {mlflow}/#/models/{name}{_TRAINING_VIEW}" for name in models],
        f"  {mlflow}/#/experiments{_TRAINING_VIEW}",
        "",
        f"[bold]API documentation[/bold]  {api}/",
        *([f"[bold]Admin token[/bold]        kept in {escape(admin_token)}"] if admin_token is not None else []),
        "",
        "[bold]Next[/bold]  Move `champion` in the MLflow page; the API follows in seconds.",
        *(
            [f"      {tomorrow}"]
            if today is None
            else ["      `contender status` in another terminal says who serves."]
        ),
        "      Stop with `contender down`." if detach else "      Stop with Ctrl-C; nothing is lost.",
    ]


def _questions(api: str, tasks: Mapping[str, bool]) -> list[str]:
    if not tasks:
        return []
    asked = "/predictionForTomorrow" if "spy" in tasks else f"/tasks/{min(tasks)}/prediction"
    title = "Tomorrow's prediction" if "spy" in tasks else "The next prediction"
    return [f"[bold]{title}[/bold]", f"  curl {api}{asked}", ""]


def _tasks(api_url: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = requests.get(f"{api_url}/tasks", timeout=5).json()["tasks"]
    return tasks


def _said(told: dict[str, Any]) -> str:
    is_direction, age = isinstance(told["prediction"], str), told["data_age_days"]
    what = f"{told['prediction']}, P(UP) {told['confidence']:.3f}," if is_direction else f"{told['prediction']:.1f}"
    return (
        f"{what} for {told['target_date']}\n"
        f"champion: {told['contender']}, version {told['model_version']}; "
        f"beats the baseline: {told['beats_baseline']}\n"
        f"data: {told['data_source']}, {age:,} {'day' if age == 1 else 'days'} old"
        + (" (stale)" if told["stale"] else "")
    )
