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
_BASELINE = 1


def loss_saved(story: Story) -> bytes:
    """A PNG: what each way saved against the baseline, added up over time; below, who held the title."""
    ways, days = story.ways, np.array(story.days, dtype="datetime64[D]")
    baseline = ways[_BASELINE].losses
    note = "above 0: less loss than the baseline on the same rows; rising: gaining on it"
    data = f"{story.series}, {story.source}: {days[0]} to {days[-1]}, {len(days):,} rows"
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
    """A PNG: the mean loss of every way up to each date, and below, the mean of the last year or so."""
    ways, days = story.ways, np.array(story.days, dtype="datetime64[D]")
    window = 252 if story.task.frequency == "session" else 12
    metric = story.task.metric
    figure, (top, bottom) = panels(
        f"{story.task.name}: mean loss so far", f"{metric}, the lower the better", f"below: mean of {window} rows"
    )
    counts = np.arange(1, len(days) + 1)
    for way, colour in zip(ways, _COLOURS, strict=True):
        style = {"color": colour, **_weight(way is ways[0])}
        top.plot(days, np.cumsum(way.losses) / counts, label=way.name, **style)
        if len(days) > window:
            rolling = np.convolve(way.losses, np.ones(window) / window, mode="valid")
            bottom.plot(days[window - 1 :], rolling, **style)
    settled = np.concatenate([(np.cumsum(way.losses) / counts)[len(days) // 10 :] for way in ways])
    top.set_ylim(settled.min() * 0.995, settled.max() * 1.005)
    top.set_ylabel(metric, fontsize=9)
    top.legend(loc="best", frameon=False, fontsize=8)
    bottom.set_ylabel("rolling", fontsize=9)
    return _png(figure)


def _weight(is_served: bool) -> dict[str, Any]:
    """What was served is drawn first and broad, so that a line that runs along it can be seen on it."""
    return {"lw": 3.5, "alpha": 0.45, "zorder": 1} if is_served else {"lw": 1.0, "zorder": 2}


def _title(story: Story, axes: "Axes") -> None:
    """A bar from each change of the title to the next, in the row of who holds it."""
    names = [name for name, _ in groupby(change.to_contender for change in story.changes)]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    ends = [*(change.night for change in story.changes[1:]), story.last_night]
    for change, end in zip(story.changes, ends, strict=True):
        since, until = np.datetime64(change.night), np.datetime64(end)
        axes.plot([since, until], [places[change.to_contender]] * 2, color=OURS, lw=6, solid_capstyle="butt")
    axes.set_yticks(list(places.values()), list(places), fontsize=8)
    axes.set_ylim(-0.7, len(places) - 0.3)
    axes.set_ylabel("champion", fontsize=9)


def _png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
