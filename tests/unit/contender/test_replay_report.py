"""A replay's report in words and as a page."""

import io
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from contender import replay_report
from contender.replay_story import Change, Story, Way
from core.task_files import load_task

TASKS = Path(__file__).parent.parent.parent.parent / "tasks"
DAYS = tuple(date(2005, 1, 4) + timedelta(days=i) for i in range(30))


def a_way(name: str, mean: float, changes: int = 0) -> Way:
    return Way(name, np.full(len(DAYS), mean), changes)


@pytest.fixture
def story() -> Story:
    return Story(
        task=load_task(TASKS, "spy"),
        series="GSPC",
        source="sample",
        nights=30,
        first_night=date(2005, 1, 3),
        last_night=date(2005, 2, 1),
        decided={"HOLD too_few_rows": 27, "PROMOTE succession": 1},
        changes=(
            Change(date(2005, 1, 3), "BOOTSTRAP", "best_backtest", None, "base-rate", 1, "the lowest mean loss"),
            Change(date(2005, 1, 5), "PROMOTE", "refresh", "base-rate", "base-rate", 2, "a newer version takes over"),
            Change(date(2005, 1, 9), "PROMOTE", "succession", "base-rate", "forest", 4, "evidence worth 31 of 20"),
        ),
        days=DAYS,
        ways=(
            a_way("served", 0.24, 1),
            a_way("always the baseline", 0.25),
            *(a_way(f"way {i}", 0.26) for i in range(3)),
        ),
        contenders={"forest": 0.24, "base-rate": 0.25},
    )


def told(story: Story) -> str:
    said = io.StringIO()
    replay_report.tell(story, Console(file=said, width=200))
    return said.getvalue()


def test_the_words_say_when_the_title_changed_hands_and_why(story: Story) -> None:
    said = told(story)

    assert "30 nights of GSPC (sample), 2005-01-03 to 2005-02-01; the title changed hands once." in said
    assert re.search(r"2005-01-09 +base-rate → forest +PROMOTE succession +evidence worth 31 of 20", said)
    assert "2005-01-05" not in said
    assert "refreshed once by a newer version" in said


def test_every_way_is_compared_with_the_baseline_on_the_same_rows(story: Story) -> None:
    said = told(story)

    assert "All on the same 30 rows, 2005-01-04 to 2005-02-02" in said
    assert re.search(r"served +0\.24 +-4\.00% +1", said)
    assert re.search(r"way 2 +0\.26 \+?\s*\+4\.00% +0", said)


def test_the_page_holds_its_pictures_and_every_change(story: Story, tmp_path: Path) -> None:
    page = replay_report.write(story, tmp_path / "new" / "folder").read_text(encoding="utf-8")

    assert page.count('src="data:image/png;base64,iVBOR') == 2
    for words in ("base-rate → forest", "a newer version takes over", "HOLD too_few_rows"):
        assert words in page
    assert "http" not in page


def test_without_a_label_nothing_is_compared(story: Story) -> None:
    bare = replace(story, days=(), ways=(), contenders={})

    assert "No answer of the champion has its label yet, so nothing is compared." in told(bare)
    assert "img" not in replay_report.html(bare).split("</style>")[1]


def test_names_are_shown_as_they_are_and_never_as_markup(story: Story) -> None:
    odd = replace(story, source="[red]<b>x")

    assert "GSPC ([red]<b>x)" in told(odd)
    assert "GSPC ([red]&lt;b&gt;x)" in replay_report.html(odd)
