"""Progress on the terminal: a line per step, with what it did and how long it took."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_NAME_WIDTH = 11  # of the longest step, and one
_SECONDS_WIDTH = 8


class ProgressReporter:
    """Prints progress to a console: on a terminal a spinner while a step runs, then a line for the finished step."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.before_step: Callable[[], None] = lambda: None

    def heading(self, text: str) -> None:
        """Print a line above a group of steps."""
        self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def note(self, text: str) -> None:
        """Print a line between the steps."""
        self.console.print(f"[dim]·[/dim] {escape(text)}")

    def failure(self, problem: str, remedy: str) -> None:
        """Print an error and its remedy."""
        self.console.print(f"[red]{escape(problem)}[/red]")
        if remedy:
            self.console.print(f"  {escape(remedy)}")

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time a block and print its line; the block passes sentences on what it did to the yielded function."""
        self.before_step()
        sentences: list[str] = []
        started = perf_counter()
        try:
            with self.console.status(f"{name} …", spinner="dots"):
                yield sentences.append
        except BaseException:  # Ctrl-C too: the line shows which step was interrupted
            self.console.print(f"[red]✗[/red] {name}")
            raise
        self._line(name, " ".join(sentences), perf_counter() - started)

    def _line(self, name: str, sentence: str, seconds: float) -> None:
        # The sentence comes last, so that it wraps within its own column.
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(width=_NAME_WIDTH, no_wrap=True)
        grid.add_column(width=_SECONDS_WIDTH, justify="right", style="dim")
        grid.add_column(overflow="fold")
        grid.add_row("[green]✓[/green]", name, f"{seconds:.1f} s", escape(sentence))
        self.console.print(grid)
