"""How the ledger looks on a terminal: a table that is readable in 80 columns, and what counts at present below it."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from training.chronicle import Holder, Line

_ENDINGS = {
    "made": "",
    "external": "external",
    "released": "unpinned",
    "abandoned": "given up",
    "unfinished": "not finished; the next job ends it",
    "unrecorded": "external",
}
_NOBODY = "none"


_WHEN, _ALIAS, _GAP = "when (UTC)", len("challenger"), 2
_WHO_WIDTH, _WHY_WIDTH = 12, 28
"""Who is folded at that width; why has at least that much before a move is broken into two lines."""


def table(lines: Sequence[Line], width: int) -> Table:
    """The moves in their order, one a row, for a terminal of `width` columns; times are UTC."""
    whens = [_when(line) for line in lines]
    who_width = min(_WHO_WIDTH, max(len(line.who) for line in lines))
    left = width - max(map(len, whens)) - _ALIAS - who_width - 4 * _GAP
    ways = [_way(line, " ") for line in lines]
    if max(map(len, ways)) > left - _WHY_WIDTH:
        ways = [_way(line, "\n") for line in lines]
    made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for heading in (_WHEN, "alias", "from → to"):
        made.add_column(heading, no_wrap=True)
    made.add_column("who", max_width=_WHO_WIDTH, overflow="fold")
    made.add_column("why", overflow="fold")
    for when, way, line in zip(whens, ways, lines, strict=True):
        style = "yellow" if line.pins else None
        made.add_row(when, line.alias, *(escape(cell) for cell in (way, line.who, reason(line))), style=style)
    return made


def reason(line: Line) -> str:
    """What came of a move, and why it was made.

    The gate's own moves say their decision in the reason; a person's does not. `pinned`: the gate leaves alone from
    there on what was moved.
    """
    told = line.decision if line.pins and line.decision else _ENDINGS[line.ending]
    pinned = ", pinned" if line.pins else ""
    return f"{told}{pinned}: {line.why}" if told else line.why


def now(task: str, standing: Mapping[str, tuple[Holder | None, bool]], *, is_lost: bool) -> list[str]:
    """What counts at present: who holds the aliases, what is pinned, and the way back where a champion is lost."""
    if not standing:
        return [f"No alias of {task} was ever moved: nothing was promoted yet."]
    held = [f"{alias} {_named(holder)}{', pinned' if pinned else ''}" for alias, (holder, pinned) in standing.items()]
    told = [f"Now: {'; '.join(sorted(held))}."]
    if is_lost:
        told.append(
            "champion_lost: the alias `champion` stands nowhere in MLflow. The API serves its last good copy. The way "
            f'back: contender rollback {task} --why "…"'
        )
    if any(pinned for _, pinned in standing.values()):
        told.append(f'The gate leaves alone what is pinned until: contender unpin {task} --why "…"')
    return told


def _when(line: Line) -> str:
    return "not recorded yet" if line.at is None else f"{line.at:%Y-%m-%d %H:%M}"


def _way(line: Line, gap: str) -> str:
    if line.ending == "released":
        return _named(line.after)
    return f"{_named(line.before)} →{gap}{_named(line.after)}"


def _named(holder: Holder | None) -> str:
    if holder is None:
        return _NOBODY
    return f"{holder.version} {holder.contender or '(not ours)'}"
