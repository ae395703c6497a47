"""Contender: incremental and batch models compete on one stream of data; the best by evidence is served."""

from importlib.metadata import version
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contender.cli import decisions as decision_commands
from contender.cli import doctor, tokens
from contender.cli import ledger as ledger_commands
from contender.cli import replay as replay_command
from contender.cli.summary import announcer, champions
from contender.cluster import secrets
from contender.console.command import command_context
from contender.console.progress import ProgressReporter
from contender.local import runner, services, state
from contender.local.pipeline import jobs, load_tasks, report_failures, run_all, run_task
from core.config.settings import Settings
from core.config.task_files import display_path
from core.config.tasks import Task
from core.db.engine import migrate, open_engine
from core.errors import ConfigurationError
from core.jobs.clock import Clock, parse_as_of
from core.jobs.runner import exit_code

NOT_RUNNING = 3  # as the status action of init scripts does for a program that does not run
# Without rich tracebacks: a bug is reported with the one that Python prints.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(tokens.app, name="token")
app.add_typer(decision_commands.app, name="decision")
ledger_commands.add_to(app)
replay_command.add_to(app)
secrets.add_to(app)
doctor.add_to(app)

TaskName = Annotated[str, typer.Argument(help="Name of a file in the tasks folder, without .yaml.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="An ISO date or instant to take as now.")]


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"contender {version('contender')}")
        raise typer.Exit


@app.callback()
def main(
    show_version: Annotated[  # eager: it needs no command
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Take the options that belong to no single command."""


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when all is up; stop later with `contender down`.")
    ] = False,
    as_of: AsOf = None,
    accelerate: Annotated[
        float | None,
        typer.Option("--accelerate", min=0, help="A demonstration: from --as-of on, a new day every so many seconds."),
    ] = None,
) -> None:
    """Start PostgreSQL, MLflow and the services, run the pipeline for every task, and serve predictions."""
    console = Console()
    with command_context(console) as (settings, clock):
        if accelerate is not None and (as_of is None or detach):
            missing = (
                "goes without --detach: it stays in the foreground"
                if detach
                else "needs --as-of, the day to begin with"
            )
            raise ConfigurationError(
                f"--accelerate {missing}.", "For example: contender up --as-of 2005-01-03 --accelerate 5"
            )
        failure = runner.up(
            settings,
            _clock(as_of) or clock,
            ProgressReporter(console),
            detach=detach,
            announce=announcer(console, detach=detach),
            accelerate=accelerate,
        )
        if failure is not None:
            raise typer.Exit(exit_code(failure))


@app.command()
def down() -> None:
    """Stop everything that `contender up` started. Nothing stored is lost."""
    console = Console()
    with command_context(console) as (settings, _):
        stopped = runner.down(settings)
        console.print("Everything is stopped; nothing is lost." if stopped else "Nothing was running.")


@app.command()
def status() -> None:
    """Show what runs, where, and the champions. Exit code 3 when something does not run."""
    console = Console()
    with command_context(console) as (settings, _):
        stack = state.read(settings)
        if stack is None:
            console.print("Nothing runs. Start with `make up`.")
            raise typer.Exit(NOT_RUNNING)
        table = Table("service", "state", "where", box=None, pad_edge=False)
        rows = [
            ("PostgreSQL", f"data in {display_path(settings.home / 'postgres')}", _database_answers(stack.database_url))
        ]
        rows += [
            (service.label, stack.urls.get(service.name, ""), stack.runs(service.name)) for service in services.ALL
        ]
        for name, address, runs in rows:
            table.add_row(name, "[green]running[/green]" if runs else "[red]not running[/red]", escape(address))
        console.print(table)
        if stack.runs(services.API.name):
            console.print()
            console.print(champions(stack.urls[services.API.name]))
        if not all(runs for _, _, runs in rows):
            raise typer.Exit(NOT_RUNNING)


@app.command()
def run(
    task: Annotated[str | None, typer.Argument(help="Name of a task; without it, every task.")] = None,
    as_of: AsOf = None,
) -> None:
    """Run the pipeline for one task, or all: ingestion, features, training, promotion."""
    console = Console()
    with command_context(console) as (settings, clock):
        clock = _clock(as_of) or clock
        # One task fails with its own error and exit code; with all tasks, one that fails does not stop the others.
        if task is not None:
            run_task(settings, _load(settings, task), clock, ProgressReporter(console))
            return
        progress = ProgressReporter(console)
        if failures := run_all(settings, load_tasks(settings.tasks, progress), clock, progress):
            report_failures(failures, progress)
            raise typer.Exit(exit_code(failures[0].error))


@app.command(name="migrate")
def migrate_database() -> None:
    """Bring the database's tables to this version (`contender up` does it by itself)."""
    console = Console()
    with command_context(console) as (settings, _):
        with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
            migrate(engine, schema=settings.schema_name)
        console.print("The database is up to date.")


def _job_command(step: str, verb: str, help_text: str) -> None:
    def command(task: TaskName, as_of: AsOf = None) -> None:
        console = Console()
        with command_context(console) as (settings, clock):
            report = jobs()[step](settings, _load(settings, task), _clock(as_of) or clock)
            console.print(escape(report.sentence()))

    app.command(name=verb, help=help_text)(command)


_job_command("ingestion", "ingest", "Fetch what is new of a task's series.")
_job_command("features", "features", "Build the task's dataset from what is stored.")
_job_command("training", "train", "Backtest every contender on new rows (walk-forward) and register new versions.")
_job_command("promotion", "promote", "Compare champion and challengers and move the aliases on evidence.")


def _load(settings: Settings, task: str) -> Task:
    # Imports scikit-learn and River, which `status` and `down` need not wait for.
    from training.models.task_check import in_force

    return in_force(settings, task)


def _clock(as_of: str | None) -> Clock | None:
    return parse_as_of(as_of) if as_of else None


def _database_answers(url: str) -> bool:
    with open_engine(url) as engine:
        try:
            with engine.connect():
                return True
        except sa.exc.OperationalError:
            return False
