"""The pictures of a replay's report: the loss saved against the baseline by each way, and who held the title when."""

import io
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from contender.replay_story import Story
from training.canvas import GREY, INK, OURS, THEIRS, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (OURS, INK, "#2e8b57", THEIRS, "#c0392b")
_BASELINE, _DPI = 1, 150
_WINDOWS = {"session": (252, 126, 63, 21, 10, 5), "month": (12, 6, 3)}


def loss_saved(story: Story) -> bytes:
    """A PNG: what each way saved against the baseline, added up over time; below, who held the title."""
    ways, days = story.ways, np.array(story.days, dtype="datetime64[D]")
    baseline = ways[_BASELINE].losses
    note = "above 0: less loss than the baseline on the same rows; rising: gaining on it"
    data = f"{story.data}: {days[0]} to {days[-1]}, {len(days):,} rows"
    figure, (top, bottom) = panels(f"{story.task.name}: what each way to choose a champion saved", data, note)
    top.axhline(0, color=GREY, lw=1)
    for way, colour in zip(ways, _COLOURS, strict=True):
        if way is not ways[_BASELINE]:
            style = {"color": colour, **_weight(way is ways[0])}
            top.plot(days, np.cumsum(baseline - way.losses), label=way.name, **style)
    top.set_ylabel("loss saved, cumulative", fontsize=9)
    top.legend(loc="best", frameon=False, fontsize=8)
    _title(story, bottom)
    return _png(figure)


def means(story: Story) -> bytes:
    """A PNG: the mean loss of every way up to each date, and below, the mean of the last year or so.

    With too few rows for that the mean is of fewer; with next to none the panel says so.
    """
    ways, days = story.ways, np.array(story.days, dtype="datetime64[D]")
    window = window_of(len(days), story.task.frequency)
    metric = story.task.metric
    note = f"below: mean of the last {window} rows" if window else "below: nothing yet"
    figure, (top, bottom) = panels(f"{story.task.name}: mean loss so far", f"{metric}, the lower the better", note)
    counts = np.arange(1, len(days) + 1)
    for way, colour in zip(ways, _COLOURS, strict=True):
        style = {"color": colour, **_weight(way is ways[0])}
        top.plot(days, np.cumsum(way.losses) / counts, label=way.name, **style)
        if window:
            rolling = np.convolve(way.losses, np.ones(window) / window, mode="valid")
            bottom.plot(days[window - 1 :], rolling, **style)
    if not window:
        bottom.set_yticks([])
        said = f"too few rows for a rolling mean: {len(days):,}"
        bottom.text(0.5, 0.5, said, transform=bottom.transAxes, ha="center", va="center", fontsize=9, color=GREY)
    settled = np.concatenate([(np.cumsum(way.losses) / counts)[len(days) // 10 :] for way in ways])
    top.set_ylim(settled.min() * 0.995, settled.max() * 1.005)
    top.set_ylabel(metric, fontsize=9)
    top.legend(loc="best", frameon=False, fontsize=8)
    bottom.set_ylabel("rolling", fontsize=9)
    return _png(figure)


def window_of(rows: int, frequency: str) -> int:
    """Over how many rows to take a rolling mean: a year, or as much less as leaves half of the rows; 0 for none.

    >>> window_of(2_499, "session"), window_of(300, "session"), window_of(119, "month"), window_of(9, "session")
    (252, 126, 12, 0)
    """
    fitting = (window for window in _WINDOWS[frequency] if 2 * window <= rows)
    return next(fitting, 0)


def _weight(is_served: bool) -> dict[str, Any]:
    """What was served is drawn first and broad, so that a line that runs along it can be seen on it."""
    return {"lw": 3.5, "alpha": 0.45, "zorder": 1} if is_served else {"lw": 1.0, "zorder": 2}


def _title(story: Story, axes: "Axes") -> None:
    """A bar from each change of the title to the next, in the row of who holds it."""
    begun = [(name, next(held).night) for name, held in groupby(story.changes, lambda change: change.to_contender)]
    places = {name: place for place, name in enumerate(dict.fromkeys(name for name, _ in begun))}
    ends = [*(night for _, night in begun[1:]), story.last_night]
    for (name, begin), end in zip(begun, ends, strict=True):
        since, until = np.datetime64(begin), np.datetime64(end)
        axes.plot([since, until], [places[name]] * 2, color=OURS, lw=6, solid_capstyle="butt")
    axes.set_yticks(list(places.values()), list(places), fontsize=8)
    axes.set_ylim(-0.7, len(places) - 0.3)
    axes.set_ylabel("champion", fontsize=9)


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()
