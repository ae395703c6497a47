"""`contender replay`: history run session by session with the clock moved, apart from everything else."""

from collections.abc import Callable, Collection
from datetime import date

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from contender.console.signals import Interrupts, Stopped
from contender.replay import analysis, report, sessions, setup
from contender.replay.analysis import ReplayResult
from contender.replay.sessions import ReplayRunner
from contender.replay.setup import ReplayWorkspace
from core.config.settings import Settings
from core.config.tasks import Task
from core.errors import ContenderError
from training.promote_summary import PromoteReport


def replay(
    settings: Settings, task: Task, first: date, count: int, replay_id: str, console: Console, champion: str = ""
) -> ReplayResult:
    """Run the sessions that have not been run, then report on all of them.

    A replay that cannot begin leaves nothing behind. Repeated, the command continues the replay.

    Args:
        settings: of the home.
        task: to be replayed.
        first: the date of the first session.
        count: the number of sessions, at most; the stored series may end earlier.
        replay_id: names the registered model `TASK-replay-ID` and its schema.
        console: gets the progress and the report.
        champion: the contender to begin with; empty where the gate chooses.

    Raises:
        Stopped: a signal came; the sessions run by then are kept.

    """
    workspace = setup.prepare(settings, task, first, count, replay_id, champion)
    with Interrupts() as interrupts, sessions.open_runner(settings.schema_name, workspace) as runner:
        try:
            is_new = _run(runner, console, count, interrupts.check)
        except Stopped:
            console.print("[dim]·[/dim] Stopped; finished sessions are kept. The same command goes on from here.")
            raise
        result = analysis.read(runner.at.engine, workspace)
        page = report.write(result, settings.home / "replays" / workspace.task.name)
        report.write_tables(runner.at.engine, workspace.task.name, page.parent)
    # Outside of the lease: MLflow may be slow, or away, and the report is on disk already.
    if is_new:
        report.publish(workspace.settings, result, page.parent)
    report.show(result, console)
    console.print(f"\nThe report: [bold]{page}[/bold]", soft_wrap=True)
    address = f"{settings.mlflow_url}/#/models/{workspace.task.name}?workflowType=machine_learning"
    console.print(f"Versions and aliases: [bold]{address}[/bold]", soft_wrap=True)
    return result


def _run(runner: ReplayRunner, console: Console, count: int, before_session: Callable[[], None]) -> bool:
    """Run what has not been run; False when nothing was left."""
    workspace = runner.workspace
    done = setup.finished_sessions(runner.at.engine, workspace.task)
    due = [day for day in workspace.days if day not in done]
    if not due:
        console.print(_nothing_due(workspace, done, count), soft_wrap=True)
        return False
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        total = len(workspace.days)
        shown = bar.add_task(f"{workspace.task.name}", total=total, completed=total - len(due))
        for session in due:
            before_session()
            is_first = not done and session == due[0]
            try:
                made = runner.run(session)
            except ContenderError as error:
                raise (setup.cannot_begin(error, session) if is_first else error) from error
            if line := _promotion(session, made):
                bar.console.print(line)
            bar.update(shown, advance=1, description=f"{session} champion {made.champion or 'none yet'}")
    runner.rest()
    console.print(_time_taken(runner, len(due)))
    return True


def _nothing_due(workspace: ReplayWorkspace, done: Collection[date], count: int) -> str:
    """Why no session is run, and how to go on."""
    if len(done) > len(workspace.days):
        return (
            f"Nothing to run: {workspace.task.name} has {len(done):,} sessions already, through {max(done)}, and "
            f"--days {count} requests fewer. To go on give more than {len(done):,}; for another replay give an id of "
            f"its own (--id NAME). The report below is on all {len(done):,}."
        )
    is_at_end = len(workspace.days) < count
    ended = f"the series {workspace.active.series} ends there" if is_at_end else "to go on give more --days"
    return f"All {len(done):,} sessions have been run; {ended}."


def _time_taken(runner: ReplayRunner, count: int) -> str:
    """The mean time of a session, and the share of each job in it."""
    total = sum(runner.seconds.values())
    shares = ", ".join(f"{job} {seconds / total:.0%}" for job, seconds in runner.seconds.items())
    return f"[dim]·[/dim] {1000 * total / count:,.0f} ms a session: {shares}."


def _promotion(session: date, made: PromoteReport) -> str:
    """A line for a session at which another contender was promoted; empty for others."""
    is_news = made.is_new and made.outcome in ("BOOTSTRAP", "PROMOTE") and made.reason != "refresh"
    return f"[green]{session}[/green] {made.outcome} ({made.reason}): {made.champion}" if is_news else ""
