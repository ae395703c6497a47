"""A replay: history walked night by night with the clock moved, at full speed, apart from everything else."""

from collections.abc import Callable, Collection
from datetime import date

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from contender.console.signals import Interrupts, Stopped
from contender.replay import analysis as replay_story
from contender.replay import nights as replay_nights
from contender.replay import report as replay_report
from contender.replay import setup as replay_place
from contender.replay.analysis import ReplayResult
from contender.replay.nights import ReplayRunner
from contender.replay.setup import ReplayWorkspace
from core.config.settings import Settings
from core.config.tasks import Task
from core.errors import ContenderError
from training.promote_summary import PromoteReport


def replay(
    settings: Settings, task: Task, first: date, count: int, replay_id: str, console: Console, champion: str = ""
) -> ReplayResult:
    """Walks the nights that have not been walked, and tells what all of them have shown.

    `count` nights from `first` on, as far as the series is stored; `replay_id` names the registered model
    `TASK-replay-ID` and its schema; asked for again, it goes on where it was. `champion` holds the title at first.
    What cannot begin leaves nothing behind. Raises Stopped when a signal came: the nights walked by then are kept.
    """
    place = replay_place.find(settings, task, first, count, replay_id, champion)
    with Interrupts() as interrupts, replay_nights.opened(settings.schema_name, place) as nights:
        try:
            is_news = _walk(nights, console, count, interrupts.check)
        except Stopped:
            console.print(
                "[dim]·[/dim] Stopped; the nights that were walked are kept. The same command goes on from here."
            )
            raise
        story = replay_story.read(nights.at.engine, place)
        page = replay_report.write(story, settings.home / "replays" / place.task.name)
        replay_report.write_tables(nights.at.engine, place.task.name, page.parent)
    if is_news:
        replay_report.publish(place.settings, story, page.parent)
    replay_report.tell(story, console)
    console.print(f"\nThe report: [bold]{page}[/bold]", soft_wrap=True)
    address = f"{settings.mlflow_url}/#/models/{place.task.name}?workflowType=machine_learning"
    console.print(f"Versions and aliases: [bold]{address}[/bold]", soft_wrap=True)
    return story


def _walk(nights: ReplayRunner, console: Console, count: int, before_night: Callable[[], None]) -> bool:
    """Walks what has not been walked; False when nothing was left to walk."""
    place = nights.place
    done = replay_place.nights_done(nights.at.engine, place.task)
    due = [day for day in place.days if day not in done]
    if not due:
        console.print(_nothing_due(place, done, count), soft_wrap=True)
        return False
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        shown = bar.add_task(f"{place.task.name}", total=len(place.days), completed=len(place.days) - len(due))
        for night in due:
            before_night()
            is_first = not done and night == due[0]
            try:
                report = nights.walk(night)
            except ContenderError as error:
                raise (replay_place.too_early(error, night) if is_first else error) from error
            if told := _told(night, report):
                bar.console.print(told)
            bar.update(shown, advance=1, description=f"{night} champion {report.champion or 'none yet'}")
    nights.rest()
    console.print(_time_taken(nights, len(due)))
    return True


def _nothing_due(place: ReplayWorkspace, done: Collection[date], count: int) -> str:
    """Why no night is walked, and how to go on."""
    if len(done) > len(place.days):
        return (
            f"Nothing to walk: {place.task.name} has {len(done):,} nights already, through {max(done)}, and --days "
            f"{count} asks for fewer. None is taken back. To go on give more than {len(done):,}; to start anew give an "
            f"id of its own (--id NAME). What follows is of all {len(done):,}."
        )
    ended = f"the series {place.standing.series} ends there" if len(place.days) < count else "to go on give more --days"
    return f"All {len(done):,} nights have been walked; {ended}."


def _time_taken(nights: ReplayRunner, count: int) -> str:
    """What a night took on average, and what each job took of it."""
    total = sum(nights.seconds.values())
    shares = ", ".join(f"{job} {seconds / total:.0%}" for job, seconds in nights.seconds.items())
    return f"[dim]·[/dim] {1000 * total / count:,.0f} ms a night: {shares}."


def _told(night: date, report: PromoteReport) -> str:
    """A line for a night on which the title went to somebody; empty for others."""
    is_news = report.is_new and report.outcome in ("BOOTSTRAP", "PROMOTE") and report.reason != "refresh"
    return f"[green]{night}[/green] {report.outcome} ({report.reason}): {report.champion}" if is_news else ""
