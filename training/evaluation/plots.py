"""Pictures of a contender's predictions for a person to look at, drawn into figures of their own, on no screen."""

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
    """What is pictured: a contender's predictions for a task, made from a series that came from a source.

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
        """The target dates, as numpy has them."""
        return self.rows["target_date"].to_numpy()

    @property
    def labels(self) -> Floats:
        """What came."""
        return self.column("label")

    @property
    def said(self) -> Floats:
        """What the contender said."""
        return self.column(self.contender)

    def column(self, name: str) -> Floats:
        """A column as numbers."""
        return self.rows[name].to_numpy().astype(np.float64)

    @property
    def window(self) -> int:
        """Rows of about a year, over which means roll."""
        return 252 if self.task.frequency == "session" else 12

    def sentence(self) -> str:
        """The series, its source where that has another name, the period and the number of rows."""
        data = self.series if self.series == self.source else f"{self.series}, {self.source}"
        return f"{data}: {self.rows['target_date'][0]} to {self.rows['target_date'][-1]}, {len(self.rows):,} rows"


def draw(subject: Subject) -> "dict[str, Figure]":
    """Every picture that the rows allow, by a name fit for a file; none when there are hardly any rows."""
    if len(subject.rows) < _FEW:
        return {}
    pictures: dict[str, Callable[[Subject], Figure]] = {"forecast-and-actual": forecast}
    if subject.contender != subject.task.baseline:
        pictures["loss-against-baseline"] = loss_against_baseline
    if subject.task.is_classification:
        pictures |= {"forecast-and-actual": probability, "calibration": calibration}
    return {name: picture(subject) for name, picture in pictures.items()}


def calibration(subject: Subject) -> "Figure":
    """How often UP came when so much was said: ten groups of equal size, with 95 % intervals, over their counts."""
    labels, said = subject.labels, subject.said
    groups = [group for group in np.array_split(np.argsort(said, kind="stable"), BINS) if len(group)]
    x = np.array([said[group].mean() for group in groups])
    came = np.array([labels[group].mean() for group in groups])
    low, high = _wilson(came, np.array([len(group) for group in groups]))

    brier = losses.losses(subject.task, labels, said).mean()
    figure, (top, bottom) = _panels(subject, f"calibration of {subject.contender}", f"Brier score {brier:.5f}")
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
    legend_above(top)
    bottom.hist(said, bins=60, range=(max(left, 0), min(right, 1)), color=OURS, alpha=0.75, histtype="stepfilled")
    bottom.set_ylabel("rows", fontsize=9)
    bottom.set_xlabel("P(UP) that was said", fontsize=9)
    bottom.set_xlim(left, right)
    return figure


def loss_against_baseline(subject: Subject) -> "Figure":
    """The loss saved against the baseline, added up over time: rising where the contender is the better one."""
    task, contender, days = subject.task, subject.contender, subject.days
    theirs = losses.losses(task, subject.labels, subject.column(task.baseline))
    saved = theirs - losses.losses(task, subject.labels, subject.said)
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
    """The forecasts over what came, and their errors below."""
    labels, said, days = subject.labels, subject.said, subject.days
    error = losses.losses(subject.task, labels, said).mean()
    figure, (top, bottom) = _panels(
        subject, f"one-step forecasts of {subject.contender}", f"mean absolute error {error:.4g}"
    )
    top.plot(days, labels, color=INK, lw=1.6, label="actual")
    top.plot(days, said, color=OURS, lw=1.2, marker="o", ms=2.5, label="forecast, made one step before")
    top.set_ylabel(f"value of {subject.series}", fontsize=9)
    legend_above(top)
    width = np.median(np.diff(days).astype("timedelta64[D]").astype(int)) * 0.8 if len(days) > 1 else 1
    bottom.bar(days, said - labels, width=width, color=np.where(said >= labels, THEIRS, OURS))
    bottom.axhline(0, color=INK, lw=1)
    bottom.set_ylabel("forecast\n− actual", fontsize=9)
    return figure


def probability(subject: Subject) -> "Figure":
    """P(UP) over time beside the baseline's, and below how often UP was said and came."""
    task, labels, said, days = subject.task, subject.labels, subject.said, subject.days
    accuracy = losses.metrics(task, labels, said)["accuracy"]
    figure, (top, bottom) = _panels(subject, f"P(UP) said by {subject.contender}", f"accuracy {accuracy:.1%}")
    top.plot(days, said, color=OURS, lw=0.5, alpha=0.8, label=subject.contender)
    if subject.contender != task.baseline:
        top.plot(days, subject.column(task.baseline), color=THEIRS, lw=1.4, label=f"{task.baseline} (the baseline)")
    top.axhline(task.target.threshold, color=INK, lw=1, ls="--", label=f"threshold, {task.target.threshold:g}")
    top.set_ylabel("P(UP)", fontsize=9)
    legend_above(top)
    bottom.plot(days, _rolling(labels, subject.window), color=INK, lw=1.2, label="share of UP that came")
    bottom.plot(days, _rolling(said, subject.window), color=OURS, lw=1.2, label="mean of P(UP)")
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
    """Wilson's 95 % interval of a proportion."""
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return centre - half, centre + half
