"""How the ledger looks on a terminal: a table that is readable in 80 columns, and what counts at present below it."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from training.ledger.history import Holder, LedgerLine

_ENDINGS = {
    "made": "",
    "external": "external",
    "released": "unpinned",
    "abandoned": "given up",
    "unfinished": "not finished; the next job ends it",
    "unrecorded": "external",
}
_NOBODY = "none"


_WHEN, _ALIAS, _DECISION, _GAP = "when (UTC)", "alias", "decision", 2
_WHO_WIDTH, _WHY_WIDTH = 12, 28
"""Who is folded at that width; why has at least that much before a move is broken into two lines."""


def table(lines: Sequence[LedgerLine], width: int) -> Table:
    """The moves in their order, one a row, for a terminal of `width` columns; times are UTC.

    Where that is too narrow a move takes two lines: the alias stands below the time, the new version below the old.
    """
    whens = [_when(line) for line in lines]
    who_width = min(_WHO_WIDTH, max(len(line.who) for line in lines))
    alias_width = max(len(line.alias) for line in lines)
    ways = [_way(line, " ") for line in lines]
    taken = max(map(len, whens)) + alias_width + max(map(len, ways)) + len(_DECISION) + who_width + 5 * _GAP
    is_narrow = taken + _WHY_WIDTH > width
    made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    made.add_column(f"{_WHEN}\n{_ALIAS}" if is_narrow else _WHEN, no_wrap=True)
    if not is_narrow:
        made.add_column(_ALIAS, no_wrap=True)
    made.add_column("from → to", no_wrap=True)
    made.add_column(_DECISION, no_wrap=True, justify="right")
    made.add_column("who", max_width=_WHO_WIDTH, overflow="fold")
    made.add_column("why", overflow="fold")
    for when, line in zip(whens, lines, strict=True):
        number = "" if line.decision_id is None else str(line.decision_id)
        begin = [f"{when}\n{line.alias}"] if is_narrow else [when, line.alias]
        cells = (*begin, _way(line, "\n" if is_narrow else " "), number, line.who, reason(line))
        made.add_row(*map(escape, cells), style="yellow" if line.pins else None)
    return made


def reason(line: LedgerLine) -> str:
    """What came of a move, and why it was made.

    The gate's own moves say their decision in the reason; a person's does not. `pinned`: the gate leaves alone from
    there on what was moved.
    """
    told = line.decision if line.pins and line.decision else _ENDINGS[line.ending]
    pinned = ", pinned" if line.pins else ""
    return f"{told}{pinned}: {line.why}" if told else line.why


def now(task: str, standing: Mapping[str, tuple[Holder | None, bool]], *, is_lost: bool) -> list[str]:
    """What counts at present: who holds the aliases, what is pinned, and the way back where a champion is lost.

    `task` as one types it after a command.
    """
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


def _when(line: LedgerLine) -> str:
    return "not recorded yet" if line.at is None else f"{line.at:%Y-%m-%d %H:%M}"


def _way(line: LedgerLine, gap: str) -> str:
    if line.before == line.after:  # a pin was put on or taken off
        return _named(line.after)
    return f"{_named(line.before)} →{gap}{_named(line.after)}"


def _named(holder: Holder | None) -> str:
    if holder is None:
        return _NOBODY
    return f"{holder.version} {holder.contender or '(not ours)'}"
