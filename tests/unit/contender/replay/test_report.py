"""A replay's report in words and as a page."""

import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from contender.replay import plots, report
from contender.replay.analysis import Policy, ReplayResult
from contender.replay.champions import EXTERNAL, ChampionChange
from core.config.task_files import load_task
from tests.support.paths import TASKS
from training.reports.diagnostics import Fault

DAYS = tuple(date(2005, 1, 4) + timedelta(days=i) for i in range(30))


def a_way(name: str, mean: float, changes: int = 0) -> Policy:
    return Policy(name, np.full(len(DAYS), mean), changes)


def drawn(picture: Callable[[ReplayResult], bytes], story: ReplayResult, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The figure of a picture, as it would be written."""
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "_png", lambda figure: figures.append(figure) or b"")
    picture(story)
    return figures[0]


def by_hand(night: date, before: str, now: str | None, version: int | None) -> ChampionChange:
    return ChampionChange(night, EXTERNAL, "", before, now, version, "Not by the gate: moved by hand.", by_hand=True)


@pytest.fixture
def story() -> ReplayResult:
    return ReplayResult(
        task=load_task(TASKS, "spy"),
        series="GSPC",
        source="sample",
        sessions=30,
        first_session=date(2005, 1, 3),
        last_session=date(2005, 2, 1),
        decided={"HOLD too_few_rows": 27, "PROMOTE succession": 1},
        changes=(
            ChampionChange(
                date(2005, 1, 3), "BOOTSTRAP", "best_backtest", None, "base-rate", 1, "the lowest mean loss"
            ),
            ChampionChange(
                date(2005, 1, 5), "PROMOTE", "refresh", "base-rate", "base-rate", 2, "a newer version takes over"
            ),
            ChampionChange(
                date(2005, 1, 9), "PROMOTE", "succession", "base-rate", "forest", 4, "evidence worth 31 of 20"
            ),
        ),
        days=DAYS,
        policies=(
            a_way("served", 0.24, 1),
            a_way("always the baseline", 0.25),
            *(a_way(f"way {i}", 0.26) for i in range(3)),
        ),
        contenders={"forest": 0.24, "base-rate": 0.25},
    )


def reported(story: ReplayResult) -> str:
    message = io.StringIO()
    report.show(story, Console(file=message, width=200))
    return message.getvalue()


def test_the_report_says_when_the_champion_changed_and_why(story: ReplayResult) -> None:
    message = reported(story)

    assert "30 sessions of GSPC (sample), 2005-01-03 to 2005-02-01; the champion changed once." in message
    assert "2005-01-09: base-rate → forest\nevidence worth 31 of 20 (PROMOTE succession, version 4)" in message
    assert "(BOOTSTRAP best_backtest, version 1; refreshed once since, last on 2005-01-05)" in message
    assert "a newer version takes over" not in message


def test_every_way_is_compared_with_the_baseline_on_the_same_rows(story: ReplayResult) -> None:
    message = reported(story)

    assert "All on the same 30 rows, 2005-01-04 to 2005-02-02" in message
    assert re.search(r"served +0\.24000 +-4\.00% +1", message)
    assert re.search(r"way 2 +0\.26000 \+?\s*\+4\.00% +0", message)


def test_the_page_holds_its_pictures_and_every_change(story: ReplayResult, tmp_path: Path) -> None:
    page = report.write(story, tmp_path / "new" / "folder").read_text(encoding="utf-8")

    assert page.count('src="data:image/png;base64,iVBOR') == 2
    for words in ("base-rate → forest", "a newer version takes over", "HOLD too_few_rows"):
        assert words in page
    assert "http" not in page


def test_sixty_refreshes_are_folded_away_behind_the_changes_of_the_champion(story: ReplayResult) -> None:
    first, refresh, succession = story.changes
    many = replace(story, changes=(first, *(replace(refresh, version=n) for n in range(2, 62)), succession))

    page = report.html(many)
    before, folded = page.split("<details>")

    assert "refreshed 60 times since, last on 2005-01-05" in before
    assert "2005-01-09: base-rate → forest" in before
    assert "a newer version takes over" not in before
    assert folded.split("</details>")[0].count("a newer version takes over") == 60
    assert "<h2>The champions</h2>" in page[: page.index("<h2>What each policy")]


def test_a_version_that_is_given_back_to_its_contender_is_no_refresh(story: ReplayResult) -> None:
    back = ChampionChange(date(2005, 1, 7), "PROMOTE", "guard", "base-rate", "base-rate", 1, "the one before is back")

    message = reported(replace(story, changes=(*story.changes[:2], back)))

    assert "2005-01-07: base-rate\nthe one before is back (PROMOTE guard, version 1)" in message


def test_a_replay_without_a_champion_says_why_in_words(story: ReplayResult) -> None:
    bare = replace(
        story, changes=(), days=(), policies=(), contenders={}, last_decision="No champion yet: 12 of 60 rows."
    )

    for message in (reported(bare), report.html(bare)):
        assert "2005-01-03 to 2005-02-01; no contender became champion." in message
        assert "No champion yet: 12 of 60 rows." in message
        assert "refreshed" not in message
        assert "session  champion" not in message


def test_what_is_not_eligible_is_reported_with_what_to_do(story: ReplayResult) -> None:
    odd = replace(story, faults=(Fault("forest (version 4)", "says the same.", "Change its <parameters>."),))

    assert "forest (version 4): says the same. Change its <parameters>." in reported(odd)
    assert "<b>forest (version 4)</b>: says the same. Change its &lt;parameters&gt;." in report.html(odd)


def test_a_series_that_is_its_own_source_is_named_once(story: ReplayResult) -> None:
    assert "30 sessions of airline, 2005" in reported(replace(story, series="airline", source="airline"))


@pytest.mark.parametrize(("rows", "window"), [(4, 0), (30, 10), (300, 126), (504, 252)])
def test_the_rolling_mean_is_of_as_many_rows_as_fit(
    story: ReplayResult, rows: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = tuple(date(2005, 1, 4) + timedelta(days=i) for i in range(rows))
    ways = tuple(Policy(way.name, np.full(rows, way.mean), 0) for way in story.policies)

    figure = drawn(plots.means, replace(story, days=days, policies=ways), monkeypatch)

    _, bottom = figure.axes
    assert {len(line.get_xdata()) for line in bottom.get_lines()} == ({rows - window + 1} if window else set())
    message = [text.get_text() for text in [*figure.texts, *bottom.texts]]
    expected = f"below: mean of the last {window} rows" if window else f"too few rows for a rolling mean: {rows}"
    assert any(text.startswith(expected) for text in message)


def test_without_a_label_nothing_is_compared(story: ReplayResult) -> None:
    bare = replace(story, days=(), policies=(), contenders={})

    assert "No prediction of the champion has its label yet, so nothing is compared." in reported(bare)
    assert "img" not in report.html(bare).split("</style>")[1]


def test_names_are_shown_as_they_are_and_never_as_markup(story: ReplayResult) -> None:
    odd = replace(story, source="[red]<b>x")

    assert "GSPC ([red]<b>x)" in reported(odd)
    assert "GSPC ([red]&lt;b&gt;x)" in report.html(odd)


def test_a_champion_that_a_person_moved_is_reported_as_that_and_a_later_refresh_as_a_refresh(
    story: ReplayResult,
) -> None:
    first, refresh, succession = story.changes
    moved = by_hand(date(2005, 1, 12), "forest", "base-rate", 1)
    later = replace(refresh, session=date(2005, 1, 20), version=7)

    message = reported(replace(story, changes=(first, succession, moved, later)))
    alone = reported(replace(story, changes=(first, replace(moved, from_contender="base-rate", to_contender="forest"))))

    assert "the champion changed twice, once by hand." in message
    assert "the champion changed once, by hand." in alone
    assert (
        "2005-01-12: forest → base-rate\nNot by the gate: moved by hand. "
        "(external, version 1; refreshed once since, last on 2005-01-20)"
    ) in message


def test_a_champion_that_was_taken_away_and_put_back_has_not_changed_the_champion(story: ReplayResult) -> None:
    first = story.changes[0]
    gone, back = by_hand(date(2005, 1, 12), "base-rate", None, None), replace(first, session=date(2005, 1, 14))

    message = reported(replace(story, changes=(first, gone, back)))

    assert "the champion never changed" in message
    assert "2005-01-12: base-rate → none\nNot by the gate: moved by hand. (external)" in message


def test_the_bar_of_the_champion_shows_which_tenure_a_person_began(
    story: ReplayResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, refresh, _ = story.changes
    gone = by_hand(date(2005, 1, 20), "forest", None, None)
    changes = (first, refresh, by_hand(date(2005, 1, 9), "base-rate", "forest", 3), gone)

    _, bottom = drawn(plots.loss_saved, replace(story, changes=changes), monkeypatch).axes

    bars = [(line.get_label(), *map(str, line.get_xdata())) for line in bottom.get_lines()]
    assert bars == [("by the gate", "2005-01-03", "2005-01-09"), ("by hand", "2005-01-09", "2005-01-20")]
    assert len({line.get_color() for line in bottom.get_lines()}) == 2
    legend = bottom.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["by the gate", "by hand"]


@pytest.mark.parametrize("picture", [plots.loss_saved, plots.means])
def test_of_ways_that_run_along_each_other_every_one_is_seen(
    story: ReplayResult, picture: Callable[[ReplayResult], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    top, _ = drawn(picture, story, monkeypatch).axes

    lines = sorted(
        (line for line in top.get_lines() if not line.get_label().startswith("_")), key=lambda line: line.get_zorder()
    )

    for below, above in pairwise(lines):
        assert below.get_linewidth() > 1.5 * above.get_linewidth() or above.is_dashed()
    assert {line.get_alpha() for line in lines} == {None}
    assert len({line.get_color() for line in lines}) == len(lines)


def test_no_line_of_the_means_leaves_the_axes(story: ReplayResult, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = np.full(len(DAYS), 0.2)
    losses[0], losses[-1] = 0.0, 9.0
    ways = (Policy("served", losses, 0), *story.policies[1:])

    top, _ = drawn(plots.means, replace(story, policies=ways), monkeypatch).axes

    low, high = top.get_ylim()
    message = np.concatenate([line.get_ydata() for line in top.get_lines()])
    assert low < message.min()
    assert message.max() < high
    assert len(top.get_lines()[0].get_xdata()) == len(DAYS) - 3


@pytest.mark.parametrize("picture", [plots.loss_saved, plots.means])
def test_no_date_below_a_picture_is_cut_at_its_edge(
    story: ReplayResult, picture: Callable[[ReplayResult], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    days = tuple(date(2005, 1, 4) + timedelta(days=i) for i in range(102))
    ways = tuple(Policy(way.name, np.full(len(days), way.mean), 0) for way in story.policies)

    figure = drawn(picture, replace(story, days=days, policies=ways, last_session=days[-1]), monkeypatch)

    figure.canvas.draw()
    edges = [label.get_window_extent().x1 for label in figure.axes[1].get_xticklabels() if label.get_text()]
    assert edges
    assert max(edges) < figure.bbox.x1


def test_the_champion_is_marked_among_the_contenders(story: ReplayResult) -> None:
    page = report.html(story)

    assert "<td>forest (champion)</td>" in page
    assert "<td>base-rate</td>" in page
