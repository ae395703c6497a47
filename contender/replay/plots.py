"""The plots of a replay's report: the loss that each policy saved, its mean loss, and the champion over time."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from contender.replay.analysis import ReplayResult
from training.evaluation.plotting import BETTER, GREY, INK, OURS, THEIRS, WORSE, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SERVED, _BASELINE, _DPI = 0, 1, 150
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#8dbcec", "lw": 6.5, "zorder": 2.1},
    {"color": INK, "lw": 1.3, "ls": (0, (1, 1.6)), "zorder": 2.5},
    {"color": BETTER, "lw": 3.2, "zorder": 2.2},
    {"color": THEIRS, "lw": 1.7, "ls": (0, (5, 3)), "zorder": 2.4},
    {"color": WORSE, "lw": 1.2, "zorder": 2.3},
)
"""One for each policy. Their lines coincide for years: the lower one is broader, or is seen between the dashes."""
_BUTT: dict[str, Any] = {"solid_capstyle": "butt", "dash_capstyle": "butt"}
_BY_HAND = THEIRS
# Means over the first tenth of the rows are left out: they jump so far that the rest would look like one line.
_UNSETTLED = 10
_SMALLER = 0.7
_WINDOWS = {"session": (252, 126, 63, 21, 10, 5), "month": (12, 6, 3)}


def loss_saved(result: ReplayResult) -> bytes:
    """A PNG: the loss that each policy saved against the baseline, summed over time; below, the champion."""
    policies, days = result.policies, np.array(result.days, dtype="datetime64[D]")
    baseline = policies[_BASELINE].losses
    note = "above 0: less loss than the baseline on the same rows; rising: gaining on it"
    data = f"{result.data}: {days[0]} to {days[-1]}, {len(days):,} rows"
    figure, (top, bottom) = panels(f"{result.task.name}: loss saved by each policy for choosing a champion", data, note)
    top.axhline(0, color=GREY, lw=1)
    for policy, style in zip(policies, _STYLES, strict=True):
        if policy is not policies[_BASELINE]:
            top.plot(days, np.cumsum(baseline - policy.losses), label=policy.name, **_BUTT, **style)
    top.set_ylabel("loss saved, cumulative", fontsize=9)
    top.legend(loc="best", frameon=False, fontsize=8, handlelength=3.2)
    _champion_bars(result, bottom)
    _dates(bottom)
    return _png(figure)


def means(result: ReplayResult) -> bytes:
    """A PNG: the mean loss of every policy up to each date, and below, a rolling mean over a year.

    With fewer rows the rolling mean is over fewer; with too few for any, the panel says so.
    """
    policies, days = result.policies, np.array(result.days, dtype="datetime64[D]")
    window = window_of(len(days), result.task.frequency)
    metric = result.task.metric
    begin = len(days) // _UNSETTLED
    note = f"below: mean of the last {window} rows" if window else "below: nothing yet"
    note += f"; above: from row {begin + 1:,} on, as earlier means are of too few" if begin else ""
    figure, (top, bottom) = panels(f"{result.task.name}: mean loss so far", f"{metric}, lower is better", note)
    counts = np.arange(1, len(days) + 1)
    for policy, style in zip(policies, _STYLES, strict=True):
        top.plot(days[begin:], (np.cumsum(policy.losses) / counts)[begin:], label=policy.name, **_BUTT, **style)
        if window:
            rolling = np.convolve(policy.losses, np.ones(window) / window, mode="valid")
            bottom.plot(days[window - 1 :], rolling, **_BUTT, **{**style, "lw": style["lw"] * _SMALLER})
    if not window:
        bottom.set_yticks([])
        text = f"too few rows for a rolling mean: {len(days):,}"
        bottom.text(0.5, 0.5, text, transform=bottom.transAxes, ha="center", va="center", fontsize=9, color=GREY)
    top.set_ylabel(metric, fontsize=9)
    top.legend(loc="best", frameon=False, fontsize=8, handlelength=3.2)
    bottom.set_ylabel("rolling", fontsize=9)
    _dates(bottom)
    return _png(figure)


def window_of(rows: int, frequency: str) -> int:
    """The rows of a rolling mean: a year, or less, so that it spans at most half of the rows; 0 for none.

    >>> window_of(2_499, "session"), window_of(300, "session"), window_of(119, "month"), window_of(9, "session")
    (252, 126, 12, 0)
    """
    fitting = (window for window in _WINDOWS[frequency] if 2 * window <= rows)
    return next(fitting, 0)


def _champion_bars(result: ReplayResult, axes: "Axes") -> None:
    """A bar for each champion, in the row of its contender; in another colour where a person promoted it."""
    begun = [change for change in result.changes if not change.is_refresh]
    names = dict.fromkeys(change.to_contender for change in begun if change.to_contender is not None)
    places = {name: place for place, name in enumerate(names)}
    ends = [*(change.session for change in begun[1:]), result.last_session]
    for change, end in zip(begun, ends, strict=True):
        if change.to_contender is not None:
            since, until, row = np.datetime64(change.session), np.datetime64(end), places[change.to_contender]
            colour, label = (_BY_HAND, "by hand") if change.by_hand else (OURS, "by the gate")
            axes.plot([since, until], [row, row], color=colour, lw=6, label=label, **_BUTT)
    if any(change.by_hand for change in begun):
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        axes.legend(
            once.values(), once, loc="lower right", bbox_to_anchor=(1.01, 0.94), ncols=2, frameon=False, fontsize=8
        )
    axes.set_yticks(list(places.values()), list(places), fontsize=8)
    axes.set_ylim(-0.7, len(places) - 0.3)
    axes.set_ylabel("champion", fontsize=9)


def _dates(axes: "Axes") -> None:
    """Short dates, with the year once at the end: a long one would be cut at the right edge."""
    # Matplotlib costs 80 MB, which only a process that draws should pay.
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()
