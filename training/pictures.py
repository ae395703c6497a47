"""Pictures of a contender's predictions that a person would look at. They draw into figures of their own, on no screen.

`rows` is what `training.scoring.paired` gives for the contender and the task's baseline: target_date, label, and a
column of predictions for each.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from core.tasks import Task
from training import scoring
from training.procedures import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, FAINT, OURS, THEIRS, BETTER, WORSE = (
    "#1f2933",
    "#52606d",
    "#cbd2d9",
    "#0b6bcb",
    "#e07a1f",
    "#2e8b57",
    "#c0392b",
)
BINS = 10
_FEW = 2


def draw(task: Task, rows: pl.DataFrame, contender: str) -> "dict[str, Figure]":
    """Every picture that these rows allow, by a name fit for a file; none when there are hardly any rows."""
    if len(rows) < _FEW:
        return {}
    pictures: dict[str, Callable[[Task, pl.DataFrame, str], Figure]] = {"forecast-and-actual": forecast}
    if contender != task.baseline:
        pictures["loss-against-baseline"] = loss_against_baseline
    if task.is_classification:
        pictures |= {"forecast-and-actual": probability, "calibration": calibration}
    return {name: picture(task, rows, contender) for name, picture in pictures.items()}


def calibration(task: Task, rows: pl.DataFrame, contender: str) -> "Figure":
    """How often UP came when so much was said: ten groups of equal size, with 95 % intervals, over their counts."""
    labels, said = _column(rows, "label"), _column(rows, contender)
    groups = [group for group in np.array_split(np.argsort(said, kind="stable"), BINS) if len(group)]
    x = np.array([said[group].mean() for group in groups])
    came = np.array([labels[group].mean() for group in groups])
    low, high = _wilson(came, np.array([len(group) for group in groups]))

    figure, (top, bottom) = _figure(task, rows, f"calibration of {contender}")
    first, last = np.quantile(said, [0.005, 0.995])
    left, right = min(first, low.min()) - 0.01, max(last, high.max()) + 0.01
    top.plot([left, right], [left, right], color=INK, lw=1, ls="--", label="perfect calibration")
    top.axhline(labels.mean(), color=THEIRS, lw=1.2, label=f"share of UP in the period, {labels.mean():.3f}")
    top.errorbar(
        x,
        came,
        yerr=np.maximum([came - low, high - came], 0),
        fmt="o",
        ms=5,
        color=OURS,
        ecolor=OURS,
        elinewidth=1,
        capsize=2,
        label=f"{len(groups)} groups of about {len(groups[0]):,} rows, 95 % interval",
    )
    top.set_ylim(left, right)
    top.set_ylabel("share of UP that came", fontsize=9)
    _legend_above(top)
    bottom.hist(said, bins=60, range=(max(left, 0), min(right, 1)), color=OURS, alpha=0.75)
    bottom.set_ylabel("rows", fontsize=9)
    bottom.set_xlabel("P(UP) that was said", fontsize=9)
    bottom.set_xlim(left, right)
    return figure


def loss_against_baseline(task: Task, rows: pl.DataFrame, contender: str) -> "Figure":
    """The loss saved against the baseline, added up over time: rising where the contender is the better one."""
    labels, days = _column(rows, "label"), rows["target_date"].to_numpy()
    theirs = scoring.losses(task, labels, _column(rows, task.baseline))
    saved = theirs - scoring.losses(task, labels, _column(rows, contender))
    total = np.cumsum(saved)
    what, unit = ("Brier loss", "squared error") if task.is_classification else ("absolute error", _unit(task))

    figure, (top, bottom) = _figure(task, rows, f"{contender} against {task.baseline}")
    top.axhline(0, color=INK, lw=1)
    top.fill_between(days, total, 0, where=total >= 0, color=BETTER, alpha=0.18, lw=0, interpolate=True)
    top.fill_between(days, total, 0, where=total <= 0, color=WORSE, alpha=0.18, lw=0, interpolate=True)
    top.plot(days, total, color=OURS, lw=1.4)
    top.set_ylabel(f"{what} saved, cumulative\n({unit})", fontsize=9)
    share = saved.sum() / theirs.sum() if theirs.sum() else 0.0
    _note(
        figure, f"above 0: {contender} is better; on average {saved.mean():+.3g} a row, {share:+.2%} of the baseline's"
    )
    window = _window(task)
    recent = _rolling(saved, window)
    bottom.axhline(0, color=INK, lw=1)
    bottom.plot(days, recent, color=OURS, lw=1)
    bottom.set_ylabel(f"mean of the\nlast {window} rows", fontsize=9)
    return figure


def forecast(task: Task, rows: pl.DataFrame, contender: str) -> "Figure":
    """The forecasts over what came, and their errors below."""
    labels, said, days = _column(rows, "label"), _column(rows, contender), rows["target_date"].to_numpy()
    figure, (top, bottom) = _figure(task, rows, f"one-step forecasts of {contender}")
    top.plot(days, labels, color=INK, lw=1.6, label="actual")
    top.plot(days, said, color=OURS, lw=1.2, marker="o", ms=2.5, label="forecast, made one step before")
    _note(figure, f"mean absolute error {np.abs(said - labels).mean():.4g}")
    top.set_ylabel(f"value of {task.series}", fontsize=9)
    _legend_above(top)
    width = np.median(np.diff(days).astype("timedelta64[D]").astype(int)) * 0.8 if len(days) > 1 else 1
    bottom.bar(days, said - labels, width=width, color=np.where(said >= labels, THEIRS, OURS))
    bottom.axhline(0, color=INK, lw=1)
    bottom.set_ylabel("forecast\n- actual", fontsize=9)
    return figure


def probability(task: Task, rows: pl.DataFrame, contender: str) -> "Figure":
    """P(UP) over time beside the baseline's, and below how often UP was said and came."""
    labels, said, days = _column(rows, "label"), _column(rows, contender), rows["target_date"].to_numpy()
    window = _window(task)
    figure, (top, bottom) = _figure(task, rows, f"P(UP) said by {contender}")
    top.plot(days, said, color=OURS, lw=0.5, alpha=0.8, label=contender)
    if contender != task.baseline:
        top.plot(days, _column(rows, task.baseline), color=THEIRS, lw=1.4, label=f"{task.baseline} (the baseline)")
    top.axhline(task.target.threshold, color=INK, lw=1, ls="--", label=f"threshold, {task.target.threshold:g}")
    top.set_ylabel("P(UP)", fontsize=9)
    _legend_above(top)
    bottom.plot(days, _rolling(labels, window), color=INK, lw=1.2, label="share of UP that came")
    bottom.plot(days, _rolling(said, window), color=OURS, lw=1.2, label="mean of P(UP)")
    bottom.set_ylabel(f"last {window}\nrows", fontsize=9)
    _legend_above(bottom)
    return figure


def _figure(task: Task, rows: pl.DataFrame, title: str) -> "tuple[Figure, tuple[Axes, Axes]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 1, height_ratios=[3, 1], hspace=0.22, left=0.1, right=0.98, top=0.84, bottom=0.1)
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
    first, last = rows["target_date"][0], rows["target_date"][-1]
    figure.suptitle(f"{task.name}: {title}", x=0.1, y=0.975, ha="left", fontsize=13, fontweight="bold", color=INK)
    figure.text(0.1, 0.905, f"{first} to {last}, {len(rows):,} rows", fontsize=9, color=GREY)
    return figure, (top, bottom)


def _note(figure: "Figure", text: str) -> None:
    """A line on the right, above the axes, where it covers nothing."""
    figure.text(0.98, 0.905, text, fontsize=9, color=GREY, ha="right")


def _legend_above(axes: "Axes") -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 0.97), frameon=False, fontsize=8, ncols=4)


def _column(rows: pl.DataFrame, name: str) -> Floats:
    return rows[name].to_numpy().astype(np.float64)


def _unit(task: Task) -> str:
    return f"in the unit of {task.series}"


def _window(task: Task) -> int:
    return 252 if task.frequency == "session" else 12


def _rolling(values: Floats, window: int) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means = np.full(len(values), np.nan)
    means[window - 1 :] = (sums[window:] - sums[:-window]) / window
    return means


def _wilson(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Wilson's 95 % interval of a proportion."""
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return centre - half, centre + half
