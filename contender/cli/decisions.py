"""`contender decision show` and `replay`: explains a decision, and makes it again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contender.cli.replay import ReplayName
from contender.console.command import command_context
from core.db.engine import open_engine
from core.errors import ConfigurationError, IntegrityError

if TYPE_CHECKING:
    from training.reports.reproduce import Reproduction

_LARGEST_ID = 2**63 - 1  # of the column
_SHOWN = 12

app = typer.Typer(no_args_is_help=True, help="Explain decisions of the gate, and check that they can be reproduced.")
Number = Annotated[int, typer.Argument(min=1, max=_LARGEST_ID, metavar="ID", help="The decision's id.")]


@app.command()
def show(number: Number, replay: ReplayName = "") -> None:
    """Explain a decision: what was decided, why, and how the contenders compared."""
    from training.reports import diagnostics, explanations, next_steps, reproduce

    with _opened(replay) as (console, engine):
        decision = reproduce.find(engine, number)
        evidence = decision.evidence
        line = f"Decision {number} of {decision.task}, {decision.session_date}: {decision.outcome} ({decision.reason})"
        console.print(f"[bold]{escape(line)}[/bold]", highlight=False)
        console.print(escape(f"{explanations.why(decision)}\n{explanations.after(decision)}"), highlight=False)
        if "asked" in evidence:
            request = evidence["asked"]
            line = f"{request['who']} requested version {request['version']} as {request['alias']}: {request['why']}"
            console.print(escape(line), highlight=False)
        if steps := next_steps.describe(decision):
            console.print(escape(f"\n{' '.join(steps)}"), highlight=False)
        if evidence.get("comparisons"):
            console.print()
            console.print(_comparisons(evidence["comparisons"]))
        for fault in diagnostics.found(decision):
            console.print(
                f"\n[bold]{escape(fault.contenders)}[/bold]: {escape(fault.problem)} {escape(fault.advice)}",
                highlight=False,
            )
        if evidence.get("mean_loss"):
            console.print()
            console.print(_contenders(evidence))
        console.print(f"\n[dim]evidence {decision.evidence_hash}[/dim]", highlight=False)


@app.command()
def replay(
    number: Number,
    out: Annotated[
        Path | None, typer.Option("--out", help="A folder for decision.json and report.html.", file_okay=False)
    ] = None,
    of_replay: ReplayName = "",
) -> None:
    """Make a decision again from what is stored, and compare the two. Exit code 43 when they differ.

    decision.json must be the same to the byte, and report.html too.

    Of a report that an earlier release drew, the numbers are compared.
    """
    from training.reports import reproduce

    with _opened(of_replay) as (console, engine):
        made = reproduce.again(engine, number)
        if out is not None:
            _write(out, made.files)
        for name, content in made.files.items():
            where = name if out is None else str(out / name)
            console.print(escape(f"{where}  {reproduce.sha256(content)}"), highlight=False, soft_wrap=True)
        if made.differences:
            for line in made.differences[:_SHOWN]:
                console.print(escape(f"differs  {line}"), highlight=False, soft_wrap=True)
            if len(made.differences) > _SHOWN:
                console.print(f"… and {len(made.differences) - _SHOWN} more", highlight=False)
            raise IntegrityError(
                f"Decision {number} of {made.decision.task!r} does not come out as it was stored.",
                "Above: what was stored, and what it is now. The rows, the decision or the program were changed since: "
                f"contender decision show {number}",
            )
        console.print(escape(_confirmation(number, made)), highlight=False)


def _confirmation(number: int, made: "Reproduction") -> str:
    same = f"Decision {number} of {made.decision.task}: the same to the byte, evidence {made.decision.evidence_hash}."
    if not made.is_logged:
        same += " Its report was not logged (a replay leaves out HOLDs): there is no hash to compare this one with."
    if made.drawn_by_earlier:
        same += (
            f" Its report was drawn by an earlier release ({made.drawn_by_earlier}), perhaps in other words: its "
            "numbers were compared, and are the same."
        )
    return same


def _comparisons(comparisons: list[dict[str, float]]) -> Table:
    from training.reports.explanations import COMPARED, loss, number

    table = Table("challenger", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("rows", "champion", "own loss", "evidence", "shared"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("")
    for compared in comparisons:
        figures = loss(compared["champion_loss"]), loss(compared["challenger_loss"]), number(compared["e_value"])
        shared = f"{number(compared['shared'])} of {number(compared['needed'])}"
        result = COMPARED[str(compared["reason"])]
        table.add_row(escape(str(compared["challenger"])), f"{compared['rows']:,}", *figures, shared, result)
    return table


def _contenders(evidence: dict[str, Any]) -> Table:
    from training.reports.explanations import IS_BASELINE, best_first, loss

    table = Table("contender", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"mean {evidence['metric']}", justify="right")
    table.add_column("beats the baseline")
    for name, mean in best_first(evidence).items():
        is_baseline = name == evidence["given"]["baseline"]
        beats = IS_BASELINE if is_baseline else str(evidence["beats_baseline"].get(name, ""))
        table.add_row(escape(name), loss(mean), beats)
    return table


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise ConfigurationError(
            f"Nothing can be written into {folder}: {error.strerror}.", "Name another folder with --out."
        ) from error


@contextmanager
def _opened(replay: str) -> Iterator[tuple[Console, sa.Engine]]:
    """The console and the database within the frame of a command; of a replay where one is named."""
    from contender.replay import store

    console = Console()
    with command_context(console) as (settings, _):
        if replay:
            settings = store.find(settings, replay).settings(settings)
        with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
            yield console, engine
