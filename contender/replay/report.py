"""A replay's report: an HTML page with its plots, tables beside it, a run in MLflow, and the same for the terminal."""

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
from core.db.engine import fetch_all
from core.db.pipeline_tables import decisions, ledger
from training.registry.base import MetricPoint, RunRecord
from training.registry.factory import open_tracker
from training.reports.decision_page import faults as faults_section
from training.reports.explanations import loss, marked
from training.reports.html import page, table

_METRIC = {"brier": "mean Brier loss", "mae": "mean absolute error"}
_NO_LABEL = "No prediction of the champion has its label yet, so nothing is compared."
_POLICIES = "What each policy for choosing a champion cost"
_DECISION_COLUMNS = (
    "id", "session_date", "outcome", "reason", "champion", "challenger", "evidence_hash", "decided_at",
)  # fmt: skip
_LEDGER_COLUMNS = ("at", "alias", "phase", "from_version", "to_version", "decision_id", "who", "why")
_HEADINGS = {"id": "decision", "decision_id": "decision"}
"""As `contender decision show` calls them."""


def write(result: ReplayResult, folder: Path) -> Path:
    """Write `report.html` into the folder and return its path. The plots are embedded in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    path.write_text(html(result), encoding="utf-8")
    return path


def html(result: ReplayResult) -> str:
    """The page: the champions and why each was promoted, then what each policy for choosing one cost."""
    name = result.task.name
    first = [
        f"<h1>{escape(name)}</h1>",
        f'<p class="quiet">{escape(result.task.title)}</p>',
        f'<p class="why">{escape(result.summary)}</p>',
    ]
    return page(name, [*first, *_champions(result), *_costs(result), *_decided(result)])


def show(result: ReplayResult, console: Console) -> None:
    """Print the report."""
    console.print(f"\n[bold]{plain(result.task.name)}[/bold]: {plain(result.summary)}")
    for change, refreshes in _tenures(result):
        console.print(f"\n[bold]{plain(_heading(change))}[/bold]", highlight=False)
        console.print(plain(f"{change.why} ({_decision(change, refreshes)})"), highlight=False)
    console.print()
    if result.last_decision:
        console.print(f"[bold]On {result.last_session}[/bold]: {plain(result.last_decision)}\n", highlight=False)
    for fault in result.faults:
        console.print(
            f"[bold]{plain(fault.contenders)}[/bold]: {plain(fault.problem)} {plain(fault.advice)}\n", highlight=False
        )
    if not result.policies:
        console.print(_NO_LABEL)
        return
    console.print(plain(_same_rows(result)))
    rows = Table("policy", _METRIC[result.task.metric], "to the baseline", "changes", box=None, pad_edge=False)
    for row in _policy_rows(result):
        rows.add_row(*map(plain, row))
    console.print(rows)


def write_tables(engine: sa.Engine, task: str, folder: Path) -> None:
    """Write `decisions.csv` and `ledger.csv` beside the page, oldest row first."""
    for stored, names in ((decisions, _DECISION_COLUMNS), (ledger, _LEDGER_COLUMNS)):
        statement = sa.select(*(stored.c[name] for name in names)).where(stored.c.task == task).order_by(stored.c.id)
        frame = pl.DataFrame(
            [tuple(row) for row in fetch_all(engine, statement)],
            schema=[_HEADINGS.get(name, name) for name in names],
            orient="row",
            infer_schema_length=None,  # columns may begin with hundreds of nulls
        )
        frame.write_csv(folder / f"{stored.name}.csv")


def publish(settings: Settings, result: ReplayResult, folder: Path) -> None:
    """Log the folder as a run of the replay's experiment in MLflow, with the mean loss of each policy as metrics.

    Raises RegistryUnreachableError; the folder stays on disk.
    """
    # Dates before 1970, as airline's, have negative timestamps, which MLflow refuses.
    at = max(0, int(datetime.combine(result.last_session, time(), tzinfo=UTC).timestamp() * 1000))
    named = ("served", "baseline", "hindsight", "mean_so_far", "last_rows")
    losses = {
        f"{result.task.metric}_{name}": policy.mean for name, policy in zip(named, result.policies, strict=False)
    } | {"nights": float(result.sessions)}
    extent = f"{result.first_session} to {result.last_session}"
    record = RunRecord(
        key=f"replay report/{result.last_session}",
        name=f"replay report {result.last_session}",
        description=f"{result.sessions:,} sessions, {extent}: open report.html below.",
        tags={"series": result.series, "source": result.source},
        params={
            "from": str(result.first_session),
            "to": str(result.last_session),
            "config_hash": result.task.config_hash,
        },
        metrics=[MetricPoint(name, value, result.sessions, at) for name, value in losses.items()],
        folder=folder,
    )
    tracking = open_tracker(settings, result.task.name)
    tracking.finish(tracking.log(record).run_id)


def _champions(result: ReplayResult) -> list[str]:
    """Each change of the champion, with how often it was refreshed since; the refreshes themselves are collapsed."""
    lines = ["<h2>The champions</h2>"]
    for change, refreshes in _tenures(result):
        lines += [f"<h3>{escape(_heading(change))}</h3>", f"<p>{escape(change.why)}</p>"]
        lines.append(f'<p class="quiet">{escape(_decision(change, refreshes))}</p>')
    refreshed = [(one.session, one.to_contender, one.version, one.why) for one in result.changes if one.is_refresh]
    if refreshed:
        heads = ("session", "champion", "version", "why")
        rows = table(heads, refreshed, words={0, 1, 3}, sentences={3}, first=False)
        lines.append(f"<details><summary>{escape(_refreshed(len(refreshed)))}</summary>{rows}</details>")
    if result.last_decision:
        lines.append(f"<p><b>On {result.last_session}:</b> {escape(result.last_decision)}</p>")
    return [*lines, *faults_section(result.faults)]


def _tenures(result: ReplayResult) -> Iterator[tuple[ChampionChange, list[ChampionChange]]]:
    """Every change but the refreshes, each with the refreshes between it and the next."""
    begins = [place for place, change in enumerate(result.changes) if not change.is_refresh]
    for begin, end in pairwise([*begins, len(result.changes)]):
        yield result.changes[begin], list(result.changes[begin + 1 : end])


def _heading(change: ChampionChange) -> str:
    return f"{change.session}: {change.contenders}"


def _decision(change: ChampionChange, refreshes: list[ChampionChange]) -> str:
    """The outcome and reason of the decision, the version, and how often it was refreshed."""
    decided = f"{change.outcome} {change.reason}".rstrip()
    text = decided if change.version is None else f"{decided}, version {change.version}"
    if not refreshes:
        return text
    return f"{text}; refreshed {times(len(refreshes))} since, last on {refreshes[-1].session}"


def _refreshed(count: int) -> str:
    return f"The champion was refreshed {times(count)} by a newer version of its own contender."


def _costs(result: ReplayResult) -> list[str]:
    if not result.policies:
        return [f"<h2>{_POLICIES}</h2>", f"<p>{_NO_LABEL}</p>"]
    metric = _METRIC[result.task.metric]
    champion = result.champion
    contenders = [(marked(name, is_champion=name == champion), loss(mean)) for name, mean in result.contenders.items()]
    return [
        f"<h2>{_POLICIES}</h2>",
        f'<p class="quiet">{escape(_same_rows(result))}</p>',
        table(("policy", metric, "to the baseline", "changes"), _policy_rows(result), words={0}, sentences={0}),
        _plot(plots.loss_saved(result), "loss saved against the baseline"),
        _plot(plots.means(result), "mean loss so far"),
        "<h2>The contenders on those rows</h2>",
        table(("contender", metric), contenders, words={0}, first=False),
    ]


def _decided(result: ReplayResult) -> list[str]:
    decided = [(kind, f"{count:,}") for kind, count in result.decided.items()]
    return ["<h2>All decisions</h2>", table(("decision", "sessions"), decided, words={0}, first=False)]


def _same_rows(result: ReplayResult) -> str:
    extent = f"{result.days[0]} to {result.days[-1]}"
    return f"All on the same {len(result.days):,} rows, {extent}, each predicted before its label was known:"


def _policy_rows(result: ReplayResult) -> list[tuple[str, ...]]:
    baseline = result.policies[1]
    return [
        (
            policy.name,
            loss(policy.mean),
            f"{policy.mean / baseline.mean - 1:+.2%}" if baseline.mean and policy is not baseline else "",
            f"{policy.changes:,}",
        )
        for policy in result.policies
    ]


def _plot(png: bytes, what: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<div class="wide"><img alt="{escape(what)}" src="{source}"></div>'
