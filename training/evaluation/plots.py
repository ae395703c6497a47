"""Plots of a contender's predictions, drawn into figures without a screen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from core.config.tasks import Task
from features.arrays import Floats
from training.evaluation import losses
from training.evaluation.plotting import BETTER, INK, OURS, THEIRS, WORSE, legend_above, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 10
_FEW = 2


@dataclass(frozen=True)
class Subject:
    """What is plotted: a contender's predictions for a task, made from a series that came from a source.

    `rows` is what `training.evaluation.losses.paired` gives for the contender and the task's baseline: target_date,
    label, and a column of predictions for each.
    """

    task: Task
    contender: str
    series: str
    source: str
    rows: pl.DataFrame

    @property
    def days(self) -> Any:
        """The target dates, as a numpy array."""
        return self.rows["target_date"].to_numpy()

    @property
    def labels(self) -> Floats:
        """The labels."""
        return self.column("label")

    @property
    def predicted(self) -> Floats:
        """The contender's predictions."""
        return self.column(self.contender)

    def column(self, name: str) -> Floats:
        """Return a column as floats."""
        return self.rows[name].to_numpy().astype(np.float64)

    @property
    def window(self) -> int:
        """The number of rows of about a year, the window of rolling means."""
        return 252 if self.task.frequency == "session" else 12

    def sentence(self) -> str:
        """Describe the data: the series, its source where that has another name, the period and the number of rows."""
        data = self.series if self.series == self.source else f"{self.series}, {self.source}"
        return f"{data}: {self.rows['target_date'][0]} to {self.rows['target_date'][-1]}, {len(self.rows):,} rows"


def draw(subject: Subject) -> "dict[str, Figure]":
    """Draw every plot that the rows allow, by a name that suits a file; none when there are hardly any rows."""
    if len(subject.rows) < _FEW:
        return {}
    chosen: dict[str, Callable[[Subject], Figure]] = {"forecast-and-actual": forecast}
    if subject.contender != subject.task.baseline:
        chosen["loss-against-baseline"] = loss_against_baseline
    if subject.task.is_classification:
        chosen |= {"forecast-and-actual": probability, "calibration": calibration}
    return {name: plot(subject) for name, plot in chosen.items()}


def calibration(subject: Subject) -> "Figure":
    """Plot the share of UP against predicted P(UP): ten groups of equal size with 95 % intervals, over their counts."""
    labels, predicted = subject.labels, subject.predicted
    groups = [group for group in np.array_split(np.argsort(predicted, kind="stable"), BINS) if len(group)]
    x = np.array([predicted[group].mean() for group in groups])
    observed = np.array([labels[group].mean() for group in groups])
    low, high = _wilson(observed, np.array([len(group) for group in groups]))

    brier = losses.losses(subject.task, labels, predicted).mean()
    figure, (top, bottom) = _panels(subject, f"calibration of {subject.contender}", f"Brier score {brier:.5f}")
    # The few most extreme predictions would squeeze all others into the middle.
    first, last = np.quantile(predicted, [0.005, 0.995])
    left, right = min(first, low.min()) - 0.01, max(last, high.max()) + 0.01
    top.plot([left, right], [left, right], color=INK, lw=1, ls="--", label="perfect calibration")
    top.axhline(labels.mean(), color=THEIRS, lw=1.2, label=f"share of UP in the period, {labels.mean():.3f}")
    top.errorbar(
        x,
        observed,
        yerr=np.maximum([observed - low, high - observed], 0),
        fmt="o",
        ms=5,
        color=OURS,
        ecolor=OURS,
        elinewidth=1,
        capsize=2,
        label=f"{len(groups)} groups of about {len(groups[0]):,} rows, 95 % interval",
    )
    top.set_ylim(left, right)
    top.set_ylabel("observed share of UP", fontsize=9)
    legend_above(top)
    bottom.hist(predicted, bins=60, range=(max(left, 0), min(right, 1)), color=OURS, alpha=0.75, histtype="stepfilled")
    bottom.set_ylabel("rows", fontsize=9)
    bottom.set_xlabel("predicted P(UP)", fontsize=9)
    bottom.set_xlim(left, right)
    return figure


def loss_against_baseline(subject: Subject) -> "Figure":
    """Plot the loss saved against the baseline, cumulated over time: rising where the contender is better."""
    task, contender, days = subject.task, subject.contender, subject.days
    theirs = losses.losses(task, subject.labels, subject.column(task.baseline))
    saved = theirs - losses.losses(task, subject.labels, subject.predicted)
    total = np.cumsum(saved)
    what, unit = (
        ("Brier loss", "squared error")
        if task.is_classification
        else ("absolute error", f"in the unit of {subject.series}")
    )
    share = saved.sum() / theirs.sum() if theirs.sum() else 0.0
    on_average = f"saved on average {saved.mean():+.3g} a row, {share:+.2%} of the baseline's loss"

    figure, (top, bottom) = _panels(
        subject, f"{contender} against {task.baseline}", f"above 0: {contender} is better; {on_average}"
    )
    top.axhline(0, color=INK, lw=1)
    top.fill_between(days, total, 0, where=total >= 0, color=BETTER, alpha=0.18, lw=0, interpolate=True)
    top.fill_between(days, total, 0, where=total <= 0, color=WORSE, alpha=0.18, lw=0, interpolate=True)
    top.plot(days, total, color=OURS, lw=1.4)
    top.set_ylabel(f"{what} saved, cumulative\n({unit})", fontsize=9)
    bottom.axhline(0, color=INK, lw=1)
    bottom.plot(days, _rolling(saved, subject.window), color=OURS, lw=1)
    bottom.set_ylabel(f"mean of the\nlast {subject.window} rows", fontsize=9)
    return figure


def forecast(subject: Subject) -> "Figure":
    """Plot the forecasts over the actual values, and their errors below."""
    labels, predicted, days = subject.labels, subject.predicted, subject.days
    error = losses.losses(subject.task, labels, predicted).mean()
    figure, (top, bottom) = _panels(
        subject, f"one-step forecasts of {subject.contender}", f"mean absolute error {error:.4g}"
    )
    top.plot(days, labels, color=INK, lw=1.6, label="actual")
    top.plot(days, predicted, color=OURS, lw=1.2, marker="o", ms=2.5, label="forecast, made one step before")
    top.set_ylabel(f"value of {subject.series}", fontsize=9)
    legend_above(top)
    # Months and sessions are unevenly spaced: bars as wide as the median step do not overlap much.
    width = np.median(np.diff(days).astype("timedelta64[D]").astype(int)) * 0.8 if len(days) > 1 else 1
    bottom.bar(days, predicted - labels, width=width, color=np.where(predicted >= labels, THEIRS, OURS))
    bottom.axhline(0, color=INK, lw=1)
    bottom.set_ylabel("forecast\n− actual", fontsize=9)
    return figure


def probability(subject: Subject) -> "Figure":
    """Plot P(UP) over time beside the baseline's, and below the predicted and the observed share of UP."""
    task, labels, predicted, days = subject.task, subject.labels, subject.predicted, subject.days
    accuracy = losses.metrics(task, labels, predicted)["accuracy"]
    figure, (top, bottom) = _panels(subject, f"P(UP) predicted by {subject.contender}", f"accuracy {accuracy:.1%}")
    top.plot(days, predicted, color=OURS, lw=0.5, alpha=0.8, label=subject.contender)
    if subject.contender != task.baseline:
        top.plot(days, subject.column(task.baseline), color=THEIRS, lw=1.4, label=f"{task.baseline} (the baseline)")
    top.axhline(task.target.threshold, color=INK, lw=1, ls="--", label=f"threshold, {task.target.threshold:g}")
    top.set_ylabel("P(UP)", fontsize=9)
    legend_above(top)
    bottom.plot(days, _rolling(labels, subject.window), color=INK, lw=1.2, label="observed share of UP")
    bottom.plot(days, _rolling(predicted, subject.window), color=OURS, lw=1.2, label="mean of P(UP)")
    bottom.set_ylabel(f"last {subject.window}\nrows", fontsize=9)
    legend_above(bottom)
    return figure


def _panels(subject: Subject, title: str, note: str) -> "tuple[Figure, tuple[Axes, Axes]]":
    return panels(f"{subject.task.name}: {title}", subject.sentence(), note)


def _rolling(values: Floats, window: int) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means = np.full(len(values), np.nan)
    means[window - 1 :] = (sums[window:] - sums[:-window]) / window
    return means


def _wilson(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Return Wilson's 95 % interval of a proportion."""
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return centre - half, centre + half
