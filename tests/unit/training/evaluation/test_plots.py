"""The pictures: each is drawn from any rows, names what it shows, and leaves no trace in pyplot."""

import io
import sys
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from core.config.tasks import Task
from training.evaluation import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rows_of(task: Task, contender: str, count: int) -> pl.DataFrame:
    chance = np.random.default_rng(3)
    days = [date(2010, 1, 1) + timedelta(days=i) for i in range(count)]
    if task.is_classification:
        labels, said = (chance.random(count) < 0.55).astype(float), chance.uniform(0.4, 0.7, count)
        base = np.full(count, 0.55)
    else:
        labels = 100 + np.arange(count) + chance.normal(size=count)
        said, base = labels + chance.normal(size=count), labels - 1
    return pl.DataFrame({"target_date": days, "label": labels, contender: said}).with_columns(
        [] if contender == task.baseline else [pl.Series(task.baseline, base)]
    )


def subject(task: Task, contender: str, rows: pl.DataFrame | int) -> plots.Subject:
    rows = rows_of(task, contender, rows) if isinstance(rows, int) else rows
    return plots.Subject(task, contender, "GSPC", "sample", rows)


def png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def texts(figure: "Figure") -> str:
    axes = [text for one in figure.axes for text in (one.get_xlabel(), one.get_ylabel())]
    return " | ".join([text.get_text() for text in figure.texts] + axes)


@pytest.mark.parametrize("count", [2, 5, 30, 600])
def test_every_picture_is_drawn_from_few_rows_and_from_many(spy: Task, airline: Task, count: int) -> None:
    for task, contender in ((spy, "forest"), (spy, "base-rate"), (airline, "ridge"), (airline, "naive")):
        for figure in plots.draw(subject(task, contender, count)).values():
            assert png(figure).startswith(b"\x89PNG")


def test_a_direction_has_a_calibration_and_a_baseline_none_against_itself(spy: Task, airline: Task) -> None:
    drawn = {
        (task.name, contender): set(plots.draw(subject(task, contender, 30)))
        for task, contender in ((spy, "forest"), (spy, "base-rate"), (airline, "ridge"), (airline, "naive"))
    }

    assert drawn == {
        ("spy", "forest"): {"forecast-and-actual", "calibration", "loss-against-baseline"},
        ("spy", "base-rate"): {"forecast-and-actual", "calibration"},
        ("airline", "ridge"): {"forecast-and-actual", "loss-against-baseline"},
        ("airline", "naive"): {"forecast-and-actual"},
    }


def test_too_few_rows_have_no_pictures(spy: Task) -> None:
    assert plots.draw(subject(spy, "forest", 1)) == {}
    assert plots.draw(subject(spy, "forest", 0)) == {}


def test_a_picture_names_task_contender_period_and_what_its_axes_are(spy: Task) -> None:
    for figure in plots.draw(subject(spy, "forest", 40)).values():
        said = texts(figure)

        assert "spy: " in said
        assert "forest" in said
        assert "GSPC, sample: 2010-01-01 to 2010-02-09, 40 rows" in said
        assert all(axes.get_ylabel() for axes in figure.axes)
        assert figure.axes[-1].get_xlabel()


def test_a_series_named_as_its_source_is_named_once(airline: Task) -> None:
    (figure,) = plots.draw(plots.Subject(airline, "naive", "airline", "airline", rows_of(airline, "naive", 3))).values()

    assert "airline: 2010-01-01 to 2010-01-03, 3 rows" in texts(figure).split(" | ")


@pytest.mark.parametrize("count", [5, 600])
def test_no_text_overlaps_another_or_leaves_the_picture(spy: Task, airline: Task, count: int) -> None:
    for task, contender in ((spy, "a-contender-of-a-long-name"), (airline, "a-contender-of-a-long-name")):
        for figure in plots.draw(subject(task, contender, count)).values():
            figure.draw_without_rendering()
            lines = [text.get_window_extent() for text in figure.texts]
            labels = [axes.yaxis.label.get_window_extent() for axes in figure.axes]

            assert all(below.y1 <= above.y0 for above, below in pairwise(lines))
            assert min(box.x0 for box in lines + labels) >= 4
            assert max(box.x1 for box in lines) <= figure.bbox.width


def test_the_loss_saved_adds_up_and_says_who_is_better(airline: Task) -> None:
    rows = pl.DataFrame(
        {
            "target_date": [date(2010, month, 1) for month in (1, 2, 3)],
            "label": [10.0, 10.0, 10.0],
            "ridge": [10.0, 11.0, 13.0],
            "naive": [12.0, 12.0, 12.0],
        }
    )

    figure = plots.loss_against_baseline(subject(airline, "ridge", rows))

    (line,) = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert list(line.get_ydata()) == [2.0, 3.0, 2.0]
    assert "above 0: ridge is better; saved on average +0.667 a row, +33.33% of the baseline's loss" in texts(figure)


def test_calibration_counts_what_came_in_each_group(spy: Task) -> None:
    said = np.repeat([0.2, 0.8], 50)
    labels = np.concatenate([np.ones(10), np.zeros(40), np.ones(40), np.zeros(10)])
    days = [date(2010, 1, 1) + timedelta(days=i) for i in range(100)]
    rows = pl.DataFrame({"target_date": days, "label": labels, "forest": said, "base-rate": 0.5})

    figure = plots.calibration(subject(spy, "forest", rows))

    points = figure.axes[0].containers[0].lines[0]
    assert len(points.get_xdata()) == 10
    assert np.average(points.get_ydata()[:5]) == pytest.approx(0.2)
    assert np.average(points.get_ydata()[5:]) == pytest.approx(0.8)


def test_no_picture_touches_pyplot(spy: Task) -> None:
    before = "matplotlib.pyplot" in sys.modules

    plots.draw(subject(spy, "forest", 40))

    assert before or "matplotlib.pyplot" not in sys.modules
