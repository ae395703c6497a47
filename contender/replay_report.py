"""A replay's report: a page of HTML with its pictures in it, and the same in words for the terminal."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from rich.console import Console
from rich.markup import escape as plain
from rich.table import Table

from contender import replay_pictures
from contender.replay_story import Change, Story

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em;color:#1f2933}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .9em;border-bottom:1px solid #cbd2d9;"
    "text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}p.s{color:#52606d}"
)


def write(story: Story, folder: Path) -> Path:
    """Writes `report.html` into the folder and returns its path. One file: the pictures are in it."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "report.html"
    page.write_text(html(story), encoding="utf-8")
    return page


def html(story: Story) -> str:
    """The page."""
    name = escape(story.task.name)
    parts = [f"<h1>{name}</h1>", f'<p class="s">{escape(story.task.title)}</p>', f"<p>{escape(_extent(story))}</p>"]
    if story.ways:
        parts += ["<h2>What each way to choose a champion cost</h2>", f"<p>{escape(_same_rows(story))}</p>"]
        parts += [
            _html_table(("way", f"mean {story.task.metric}", "against the baseline", "changes"), _way_rows(story))
        ]
        parts += [_picture(replay_pictures.loss_saved(story), "loss saved against the baseline")]
        parts += [_picture(replay_pictures.means(story), "mean loss so far")]
        contenders = [(contender, f"{mean:.5g}") for contender, mean in story.contenders.items()]
        parts += ["<h2>The contenders on those rows</h2>", _html_table(("contender", story.task.metric), contenders)]
    else:
        parts += ["<p>No answer of the champion has its label yet, so nothing is compared.</p>"]
    changes = [
        (str(one.night), _who(one), str(one.version), f"{one.outcome} {one.reason}", one.why) for one in story.changes
    ]
    parts += ["<h2>The title</h2>", _html_table(("night", "champion", "version", "decision", "why"), changes)]
    decided = [(what, f"{count:,}") for what, count in story.decided.items()]
    parts += ["<h2>All decisions</h2>", _html_table(("decision", "nights"), decided)]
    head = f'<meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def tell(story: Story, console: Console) -> None:
    """The same in words."""
    console.print(f"\n[bold]{plain(story.task.name)}[/bold]: {plain(_extent(story))}")
    successions = [change for change in story.changes if change.is_succession]
    refreshes = len(story.changes) - len(successions)
    table = Table("night", "champion", "decision", "why", box=None, pad_edge=False)
    for change in successions:
        decision = f"{change.outcome} {change.reason}"
        table.add_row(str(change.night), plain(_who(change)), plain(decision), plain(change.why))
    console.print(table)
    console.print(f"Besides, the champion was refreshed {_times(refreshes)} by a newer version of its own contender.\n")
    if not story.ways:
        console.print("No answer of the champion has its label yet, so nothing is compared.")
        return
    console.print(plain(_same_rows(story)))
    table = Table("way", f"mean {story.task.metric}", "against the baseline", "changes", box=None, pad_edge=False)
    for row in _way_rows(story):
        table.add_row(*map(plain, row))
    console.print(table)


def _extent(story: Story) -> str:
    return (
        f"{story.nights:,} nights of {story.series} ({story.source}), {story.first_night} to {story.last_night}; "
        f"the title changed hands {_times(sum(change.is_succession for change in story.changes[1:]))}."
    )


def _times(count: int) -> str:
    return {0: "at no time", 1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _same_rows(story: Story) -> str:
    extent = f"{story.days[0]} to {story.days[-1]}"
    return f"All on the same {len(story.days):,} rows, {extent}, each answered before its label was known:"


def _way_rows(story: Story) -> list[tuple[str, ...]]:
    baseline = story.ways[1].mean
    return [
        (way.name, f"{way.mean:.5g}", f"{way.mean / baseline - 1:+.2%}" if baseline else "", f"{way.changes:,}")
        for way in story.ways
    ]


def _who(change: Change) -> str:
    if change.from_contender in (None, change.to_contender):
        return change.to_contender
    return f"{change.from_contender} → {change.to_contender}"


def _html_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _picture(png: bytes, what: str) -> str:
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
