"""The layout of plots: two panels over one axis of dates, under three lines of text; colours."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, FAINT = "#1f2933", "#52606d", "#cbd2d9"
OURS, THEIRS, BETTER, WORSE = "#0b6bcb", "#e07a1f", "#2e8b57", "#c0392b"
_LEFT, _RIGHT = 0.125, 0.965


def panels(title: str, data: str, note: str) -> "tuple[Figure, tuple[Axes, Axes]]":
    """Make a figure with a high and a low panel; above them a line each for the title, the data and a note."""
    # Matplotlib costs 80 MB, which only a process that draws should pay.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot: it keeps every figure alive, and is not safe in threads.
    figure = Figure(figsize=(9, 5.8), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 1, height_ratios=[3, 1], hspace=0.24, left=_LEFT, right=_RIGHT, top=0.815, bottom=0.095
    )
    top = figure.add_subplot(grid[0])
    bottom = figure.add_subplot(grid[1], sharex=top)
    top.tick_params(labelbottom=False)
    bottom.set_xlabel("target date", fontsize=9)
    for axes in (top, bottom):
        axes.grid(color=FAINT, lw=0.5, alpha=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    figure.align_ylabels([top, bottom])
    figure.suptitle(title, x=_LEFT, y=0.978, ha="left", fontsize=13, fontweight="bold", color=INK)
    figure.text(_LEFT, 0.914, data, fontsize=9, color=GREY)
    figure.text(_LEFT, 0.877, note, fontsize=9, color=GREY)
    return figure, (top, bottom)


def legend_above(axes: "Axes") -> None:
    """Put the legend in one line above the panel, where it covers nothing."""
    legend = axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 0.97), frameon=False, fontsize=8, ncols=4)
    for line in legend.get_lines():
        line.set_linewidth(max(line.get_linewidth(), 1.2))  # the thinnest would hardly be seen
