"""The plots of a decision as one SVG: the loss that was saved, and the evidence, over one axis of dates."""

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from features.arrays import Days, Floats
from training.evaluation.e_values import Metric
from training.evaluation.plotting import BETTER, FAINT, GREY, INK, OURS, THEIRS, WORSE
from training.reports.decision_curves import Curve, Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 1e-3, 1e6
"""Evidence beyond these limits is drawn at them."""

_POINTS, _AROUND = 400, 3
_REST = (THEIRS, BETTER, WORSE, "#7b5ea7", "#8a6d3b", "#3aa6a6", GREY)
_DASHES = ("solid", "dashed", "dotted", "dashdot")
_UNIT = {"brier": "Brier loss (squared error of P)", "mae": "absolute error (unit of the series)"}
_MANY, _LONG, _FEW = 3, 20, 12


def svg(curves: Curves, metric: Metric, needed: float) -> str:
    """Draw the element `<svg>`: the same text for the same curves. `needed`: the evidence that is enough."""
    import matplotlib as mpl

    # The user's matplotlibrc and random element ids would change the bytes.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": "contender", "svg.fonttype": "path", "axes.unicode_minus": True})
        content = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        _figure(curves, metric, needed).savefig(content, format="svg", metadata=nothing)
    text = content.getvalue()
    return text[text.index("<svg") :]


def beyond(curves: Curves) -> str:
    """Tell which evidence is drawn at a limit, with a leading space; empty where none is."""
    worths = np.concatenate([one.worth for one in curves.of] or [np.ones(0)])
    sentences = ""
    if (worths < LOWEST).any():
        sentences += f" Evidence below {LOWEST:g} is drawn at {LOWEST:g}."
    if (worths > HIGHEST).any():
        sentences += f" Evidence above {HIGHEST:,.0f} is drawn at {HIGHEST:,.0f}."
    return sentences


def _figure(curves: Curves, metric: Metric, needed: float) -> "Figure":
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    columns = max(1, _MANY * _LONG // max([_LONG, *(len(one.challenger) for one in curves.of)]))
    rows_of_names = -(-len(curves.of) // columns)
    figure = Figure(figsize=(5.4, 5.3 + 0.17 * rows_of_names), facecolor="white")
    FigureCanvasSVG(figure)
    grid = figure.add_gridspec(
        2,
        1,
        height_ratios=[1, 1],
        hspace=0.26,
        left=0.135,
        right=0.975,
        top=0.945 - 0.035 * rows_of_names,
        bottom=0.085,
    )
    top = figure.add_subplot(grid[0])
    bottom = figure.add_subplot(grid[1], sharex=top)
    _gained(top, curves, metric)
    _worth(bottom, curves, needed)
    days = [day for one in curves.of for day in (one.days[:1], one.days[-1:])]
    if days and len(np.unique(np.concatenate(days))) == 1:  # around a single date an axis would be years wide
        day = np.concatenate(days)[0]
        bottom.set_xlim(day - np.timedelta64(_AROUND, "D"), day + np.timedelta64(_AROUND, "D"))
    locator = AutoDateLocator(minticks=3, maxticks=7)
    bottom.xaxis.set_major_locator(locator)
    bottom.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    bottom.xaxis.get_offset_text().set_fontsize(8)
    top.tick_params(labelbottom=False)
    bottom.set_xlabel("date that was predicted", fontsize=8.5, color=GREY)
    for axes in (top, bottom):
        axes.grid(color=FAINT, lw=0.5, alpha=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.margins(x=0.02)
    figure.align_ylabels([top, bottom])
    handles, names = top.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="upper left", bbox_to_anchor=(0.135, 0.998), ncols=columns, frameon=False, fontsize=8,
        columnspacing=1.2, handlelength=1.8,
    )  # fmt: skip
    return figure


def _gained(axes: "Axes", curves: Curves, metric: Metric) -> None:
    axes.axhline(0, color=INK, lw=0.9)
    for place, one in enumerate(curves.of):
        picked = _picked(len(one.days))
        axes.plot(one.days[picked], one.gained[picked], **_line(place, len(picked)), label=one.challenger)
    axes.set_title(f"Cumulative loss saved against {curves.against}: up is better", **_TITLE)
    axes.yaxis.set_major_formatter(_tick)
    axes.set_ylabel(_UNIT[metric], fontsize=8, color=GREY)


def _worth(axes: "Axes", curves: Curves, needed: float) -> None:
    from matplotlib.ticker import NullFormatter

    axes.set_yscale("log")
    axes.axhline(1, color=FAINT, lw=0.9)
    axes.axhline(needed, color=INK, lw=1.1, ls=(0, (5, 3)))
    highest, lowest = needed, 1.0
    for place, one in enumerate(curves.of):
        days, worth = _from_one(one)
        picked = _picked(len(days))
        drawn = np.clip(worth[picked], LOWEST, HIGHEST)
        axes.plot(days[picked], drawn, **_line(place, len(picked)))
        if len(drawn):
            highest, lowest = max(highest, drawn.max()), min(lowest, drawn.min())
    axes.set_ylim(lowest / 1.8, highest * 3)
    axes.yaxis.set_major_formatter(_tick)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.annotate(
        f"enough: 1/alpha = {needed:g}", (0.01, needed), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", fontsize=8, color=INK, zorder=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
    )  # fmt: skip
    if not any(len(one.looks) for one in curves.of):
        axes.text(
            0.5,
            0.3,
            "no full block of rows to bet on yet",
            transform=axes.transAxes,
            ha="center",
            fontsize=8.5,
            color=GREY,
        )
    shared = ", shared among the challengers" if curves.is_against_champion and len(curves.of) > 1 else ""
    axes.set_title(f"Evidence{shared}", **_TITLE)
    axes.set_ylabel("capital that began as 1 (log scale)", fontsize=8, color=GREY)


def _tick(value: float, _: object) -> str:
    """Format a number in few characters: 0.001, −10, 1k, 2.5M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}".replace("-", "−")
    return f"{value:.6g}".replace("-", "−")


_TITLE: Final[dict[str, Any]] = {"loc": "left", "fontsize": 9, "color": INK, "fontweight": "bold", "pad": 5}


def _line(place: int, points: int) -> dict[str, Any]:
    """Return the style of a line: the leader is thick and blue."""
    # A line through a single point is invisible.
    marks: dict[str, Any] = {"marker": "o", "ms": 3} if points <= _FEW else {}
    if place == 0:
        return {"color": OURS, "lw": 2.2, "zorder": 5, **marks}
    style = _DASHES[(place - 1) // len(_REST) % len(_DASHES)]
    return {"color": _REST[(place - 1) % len(_REST)], "lw": 1.1, "ls": style, "zorder": 4 - place / 100, **marks}


def _picked(count: int) -> npt.NDArray[np.int64]:
    """Pick evenly spaced indices, no more than can be told apart in the plot, the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _POINTS)).astype(np.int64))


def _from_one(one: Curve) -> tuple[Days, Floats]:
    """Return dates and evidence, beginning with 1 at the first row."""
    return np.concatenate([one.days[:1], one.looks]), np.concatenate([np.ones(len(one.days[:1])), one.worth])
