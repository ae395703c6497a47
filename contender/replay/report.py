"""A replay's report: a page of HTML with its pictures in it, and the same in words for the terminal."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, time
from html import escape
from itertools import pairwise
from pathlib import Path

import polars as pl
import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape as plain
from rich.table import Table

from contender.replay import plots
from contender.replay.analysis import ReplayResult, times
from contender.replay.champions import ChampionChange
from core.config.settings import Settings
from core.db.engine import reachable
from core.db.pipeline_tables import decisions, ledger
from training.registry.tracking import Point, Record, Tracking
from training.reports.decision_page import faults as told_of
from training.reports.explanations import loss, marked
from training.reports.html import page, table

_METRIC = {"brier": "mean Brier loss", "mae": "mean absolute error"}
_SILENT = "No answer of the champion has its label yet, so nothing is compared."


def write(story: ReplayResult, folder: Path) -> Path:
    """Writes `report.html` into the folder and returns its path. One file: the pictures are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(html(story), encoding="utf-8")
    return path


def html(story: ReplayResult) -> str:
    """The page: first who has had the title and why, then what that was worth."""
    name = story.task.name
    first = [
        f"<h1>{escape(name)}</h1>",
        f'<p class="quiet">{escape(story.task.title)}</p>',
        f'<p class="why">{escape(story.in_words)}</p>',
    ]
    return page(name, [*first, *_title(story), *_costs(story), *_decided(story)])


def tell(story: ReplayResult, console: Console) -> None:
    """The same in words."""
    console.print(f"\n[bold]{plain(story.task.name)}[/bold]: {plain(story.in_words)}")
    for change, after in _reigns(story):
        console.print(f"\n[bold]{plain(_when(change))}[/bold]", highlight=False)
        console.print(plain(f"{change.why} ({_how(change, after)})"), highlight=False)
    console.print()
    if story.standing:
        console.print(f"[bold]On {story.last_night}[/bold]: {plain(story.standing)}\n", highlight=False)
    for one in story.faults:
        console.print(
            f"[bold]{plain(one.contenders)}[/bold]: {plain(one.problem)} {plain(one.advice)}\n", highlight=False
        )
    if not story.ways:
        console.print(_SILENT)
        return
    console.print(plain(_same_rows(story)))
    shown = Table("way", _METRIC[story.task.metric], "to the baseline", "changes", box=None, pad_edge=False)
    for row in _way_rows(story):
        shown.add_row(*map(plain, row))
    console.print(shown)


def _title(story: ReplayResult) -> list[str]:
    """Each change of the title, with how often its holder was refreshed; the refreshes themselves folded away."""
    told = ["<h2>The title</h2>"]
    for change, after in _reigns(story):
        told += [f"<h3>{escape(_when(change))}</h3>", f"<p>{escape(change.why)}</p>"]
        told.append(f'<p class="quiet">{escape(_how(change, after))}</p>')
    refreshed = [(one.night, one.to_contender, one.version, one.why) for one in story.changes if one.is_refresh]
    if refreshed:
        shown = table(("night", "champion", "version", "why"), refreshed, words={0, 1, 3}, sentences={3}, first=False)
        told.append(f"<details><summary>{escape(_refreshed(len(refreshed)))}</summary>{shown}</details>")
    if story.standing:
        told.append(f"<p><b>On {story.last_night}:</b> {escape(story.standing)}</p>")
    return [*told, *told_of(story.faults)]


def _reigns(story: ReplayResult) -> Iterator[tuple[ChampionChange, list[ChampionChange]]]:
    """Every change but the refreshes, each with the refreshes between it and the next."""
    begins = [place for place, one in enumerate(story.changes) if not one.is_refresh]
    for begin, end in pairwise([*begins, len(story.changes)]):
        yield story.changes[begin], list(story.changes[begin + 1 : end])


def _when(change: ChampionChange) -> str:
    return f"{change.night}: {change.who}"


def _how(change: ChampionChange, after: list[ChampionChange]) -> str:
    """The decision in the words of the gate, and what became of the version."""
    decided = f"{change.outcome} {change.reason}".rstrip()
    how = decided if change.version is None else f"{decided}, version {change.version}"
    return how if not after else f"{how}; refreshed {times(len(after))} since, last on {after[-1].night}"


def _refreshed(count: int) -> str:
    return f"The champion was refreshed {times(count)} by a newer version of its own contender."


def _costs(story: ReplayResult) -> list[str]:
    if not story.ways:
        return ["<h2>What each way to choose a champion cost</h2>", f"<p>{_SILENT}</p>"]
    metric = _METRIC[story.task.metric]
    champion = story.champion
    contenders = [(marked(name, is_champion=name == champion), loss(mean)) for name, mean in story.contenders.items()]
    return [
        "<h2>What each way to choose a champion cost</h2>",
        f'<p class="quiet">{escape(_same_rows(story))}</p>',
        table(("way", metric, "to the baseline", "changes"), _way_rows(story), words={0}, sentences={0}),
        _picture(plots.loss_saved(story), "loss saved against the baseline"),
        _picture(plots.means(story), "mean loss so far"),
        "<h2>The contenders on those rows</h2>",
        table(("contender", metric), contenders, words={0}, first=False),
    ]


def _decided(story: ReplayResult) -> list[str]:
    decided = [(what, f"{count:,}") for what, count in story.decided.items()]
    return ["<h2>All decisions</h2>", table(("decision", "nights"), decided, words={0}, first=False)]


def _same_rows(story: ReplayResult) -> str:
    extent = f"{story.days[0]} to {story.days[-1]}"
    return f"All on the same {len(story.days):,} rows, {extent}, each answered before its label was known:"


def _way_rows(story: ReplayResult) -> list[tuple[str, ...]]:
    baseline = story.ways[1]
    return [
        (
            way.name,
            loss(way.mean),
            f"{way.mean / baseline.mean - 1:+.2%}" if baseline.mean and way is not baseline else "",
            f"{way.changes:,}",
        )
        for way in story.ways
    ]


def _picture(png: bytes, what: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<div class="wide"><img alt="{escape(what)}" src="{source}"></div>'


_OF_DECISIONS = (
    "id", "session_date", "outcome", "reason", "champion", "challenger", "evidence_hash", "decided_at",
)  # fmt: skip
_OF_LEDGER = ("at", "alias", "phase", "from_version", "to_version", "decision_id", "who", "why")
_HEADINGS = {"id": "decision", "decision_id": "decision"}
"""As `contender decision show` calls it."""


def write_tables(engine: sa.Engine, task: str, folder: Path) -> None:
    """Writes `decisions.csv` and `ledger.csv` beside the page, oldest first."""
    for stored, names in ((decisions, _OF_DECISIONS), (ledger, _OF_LEDGER)):
        statement = sa.select(*(stored.c[name] for name in names)).where(stored.c.task == task).order_by(stored.c.id)
        with reachable(), engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(statement)]
        frame = pl.DataFrame(
            rows, schema=[_HEADINGS.get(name, name) for name in names], orient="row", infer_schema_length=None
        )
        frame.write_csv(folder / f"{stored.name}.csv")


def publish(settings: Settings, story: ReplayResult, folder: Path) -> None:
    """Logs the folder as a run of the replay's experiment, with what each way cost as metrics.

    Raises RegistryUnreachableError; the folder is on disk all the same.
    """
    at = max(0, int(datetime.combine(story.last_night, time(), tzinfo=UTC).timestamp() * 1000))
    named = ("served", "baseline", "hindsight", "mean_so_far", "last_rows")
    losses = {f"{story.task.metric}_{name}": way.mean for name, way in zip(named, story.ways, strict=False)} | {
        "nights": float(story.nights)
    }
    record = Record(
        key=f"replay report/{story.last_night}",
        name=f"replay report {story.last_night}",
        description=f"{story.nights:,} nights, {story.first_night} to {story.last_night}: open report.html below.",
        tags={"series": story.series, "source": story.source},
        params={"from": str(story.first_night), "to": str(story.last_night), "config_hash": story.task.config_hash},
        metrics=[Point(name, value, story.nights, at) for name, value in losses.items()],
        folder=folder,
    )
    tracking = Tracking.open(settings, story.task, None)
    tracking.finish(tracking.log(record).run_id)
