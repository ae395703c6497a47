"""The text that is shown when everything is up: the champions' predictions, addresses, and what to do next."""

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
# Makes MLflow show models and runs rather than prompts and traces; its list of all models ignores it.
_TRAINING_VIEW = "?workflowType=machine_learning"
_TOMORROW_BESIDE = "`contender run` in another terminal or cron"


def announcer(console: Console, *, detach: bool) -> Callable[[StartedServices], None]:
    """The function that `runner.up` calls once every service answers."""

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
    """The champions' predictions from the API: three short lines a task, for a narrow terminal.

    An API that has just started may not have loaded every champion yet: each is requested again for `wait_seconds`.
    """
    grid = Table.grid(padding=(0, 2))
    until = time.monotonic() + wait_seconds  # one limit for all tasks together: they are loaded side by side
    for task in _tasks(api_url):
        path = f"{api_url}{task['prediction']}"
        while (answer := requests.get(path, timeout=5)).status_code == 503 and time.monotonic() < until:
            time.sleep(0.25)
        content = answer.json()
        lines = [_prediction(content) if answer.ok else escape(content["detail"]), *alarms(task)]
        grid.add_row(f"[bold]{task['name']}[/bold]", "\n".join(lines))
    for task in requests.get(f"{api_url}/info", timeout=5).json()["pushed_tasks"]:
        if task["alerts"]:
            grid.add_row(f"[bold]{task['name']}[/bold]", "\n".join(alarms(task)))
    return grid


def alarms(task: Mapping[str, Any]) -> list[str]:
    """A line for each alert of a task, from the API's answer."""
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
    """The lines of the panel.

    Args:
        urls: the address of each service.
        tasks: for each task whether it has a champion.
        admin_token: the file that keeps the token; None when `contender up` made none.
        detach: whether the command returns.
        today: the day of a demonstration; None for the machine's.

    """
    api, mlflow = urls["api"], urls["mlflow"]
    models = [name for name, is_served in tasks.items() if is_served][:SHOWN_MODELS]
    tomorrow = f"{'`contender run` tomorrow' if detach else _TOMORROW_BESIDE} takes in tomorrow's data."
    return [
        *([] if today is None else [f"[bold]It is {today}[/bold] here; the days pass by themselves.", ""]),
        *_example_request(api, tasks),
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
            else ["      `contender status` in another terminal shows the champions."]
        ),
        "      Stop with `contender down`." if detach else "      Stop with Ctrl-C; nothing is lost.",
    ]


def _example_request(api: str, tasks: Mapping[str, bool]) -> list[str]:
    if not tasks:
        return []
    path = "/predictionForTomorrow" if "spy" in tasks else f"/tasks/{min(tasks)}/prediction"
    heading = "Tomorrow's prediction" if "spy" in tasks else "The next prediction"
    return [f"[bold]{heading}[/bold]", f"  curl {api}{path}", ""]


def _tasks(api_url: str) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = requests.get(f"{api_url}/tasks", timeout=5).json()["tasks"]
    return tasks


def _prediction(content: dict[str, Any]) -> str:
    is_direction, age = isinstance(content["prediction"], str), content["data_age_days"]
    what = (
        f"{content['prediction']}, P(UP) {content['confidence']:.3f},"
        if is_direction
        else f"{content['prediction']:.1f}"
    )
    return (
        f"{what} for {content['target_date']}\n"
        f"champion: {content['contender']}, version {content['model_version']}; "
        f"beats the baseline: {content['beats_baseline']}\n"
        f"data: {content['data_source']}, {age:,} {'day' if age == 1 else 'days'} old"
        + (" (stale)" if content["stale"] else "")
    )
