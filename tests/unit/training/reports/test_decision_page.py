"""The report of a decision: in words first, one page that needs nothing else, and always the same bytes."""

from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest
from msgspec import structs

from core.config.tasks import Gate
from tests.support.training.boards import board
from tests.support.training.decided import contest, decided, given
from training.evaluation.e_values import shared
from training.evaluation.scoreboard import Scoreboard
from training.ledger.decisions import Decision
from training.promotion.gate import Comparison
from training.promotion.inputs import GateInput
from training.promotion.state import Tenure
from training.reports import decision_curves, decision_page, decision_plots, explanations

SKILLS = {"forest": 0.12, "logistic": 0.2, "boosting": 0.05, "river-logistic": 0.35, "amf": -0.1, "knn": -0.02}
SINCE = Tenure(date(2020, 3, 1))


def page(rows: Scoreboard, decision: Decision) -> str:
    return decision_page.page(decision, decision_curves.draw(GateInput.of(decision).rows(rows), decision)).decode()


def a_page(champion: str | None = "forest", through: date | None = None, **changes: object) -> str:
    rows = contest(400, **SKILLS)
    asked = given(rows, champion=champion, tenure=SINCE if champion else Tenure(None), **changes)
    return page(rows, decided(rows, structs.replace(asked, through=through or asked.through))[0])


def hold(rows: Scoreboard) -> tuple[Decision, tuple[Comparison, ...]]:
    made, verdict = decided(rows, given(rows, champion="logistic", tenure=SINCE))
    return made, verdict.comparisons


class Words(HTMLParser):
    """The text of a page, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags, self.fetched = "", [""], list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1] != "style":
            self.text += data + " "


@pytest.mark.parametrize("champion", [None, "forest", "base"])
def test_a_page_needs_nothing_else_and_runs_nothing(champion: str | None) -> None:
    read = Words(a_page(champion))

    assert "script" not in read.tags
    assert [where for where in read.fetched if not where.startswith("#")] == []
    assert read.tags.count("svg") == 1


def test_a_page_says_first_what_was_decided_and_why() -> None:
    rows = contest(400, **SKILLS)
    made, (leader, *_) = hold(rows)

    text = " ".join(Words(page(rows, made)).text.split())

    assert text.removeprefix("spy: HOLD on 2020-06-01 ").startswith(
        "spy: HOLD on 2020-06-01 river-logistic leads the challengers. The evidence that it is better than logistic, "
        f"over 339 rows, is worth {leader.shared:.4g} when shared among all challengers; 20 is needed. "
        "Champion: logistic, which beats the baseline. Challenger: river-logistic. "
        "What has to happen next The rows up to 2020-03-01 were known when logistic became champion, so they count "
        "neither for nor against it. Another contender becomes champion when there are 60 rows after 2020-03-01 that "
        "both predicted, its mean loss on them is smaller, and its evidence, shared among the 6 challengers, has "
        "reached 20. Losses and evidence over time"
    )


def test_a_page_lists_every_challenger_with_its_figures() -> None:
    rows = contest(400, **SKILLS)
    made, verdict = decided(rows, given(rows, champion="forest", tenure=SINCE))

    text = Words(page(rows, made)).text

    assert "shared among 6" in text
    for one in verdict.comparisons:
        for figure in (one.challenger, explanations.loss(one.challenger_loss), explanations.number(one.shared)):
            assert figure in text


def test_a_page_without_rows_says_so() -> None:
    nothing = board(np.empty(0), base=np.empty(0), forest=np.empty(0))
    made, _ = decided(nothing, given(nothing, champion="forest", tenure=SINCE))

    text = Words(page(nothing, made)).text

    assert "There are no rows to draw yet." in text
    assert explanations.why(made) in text


def test_before_any_row_counts_the_contenders_are_drawn_against_the_baseline() -> None:
    assert "every contender against the baseline, base, on all rows: 2020-01-01 to 2021-02-03" in a_page(None)
    assert "every contender against the baseline, base" in a_page(through=date(2020, 3, 1))
    assert "Every challenger against forest, on the rows since it became champion: 2020-03-02 to" in a_page()


def test_a_first_hold_draws_no_empty_picture_and_says_what_it_draws() -> None:
    rows = contest(64, **SKILLS)
    made, _ = decided(rows, given(rows, champion="forest", tenure=SINCE))

    drawn = decision_curves.draw(rows, made)
    text = " ".join(Words(page(rows, made)).text.split())

    assert (made.reason, drawn.is_against_champion, len(drawn.of[0].days)) == ("too_few_rows", False, 64)
    assert "Only 3 rows count for or against forest yet, and the first bet is on 5, so here is every contender" in text
    assert "So far: 3 of 60 rows." in text


def test_the_next_steps_come_first_where_nothing_moved_and_last_where_something_did() -> None:
    first, held = a_page(None), page(contest(400, **SKILLS), hold(contest(400, **SKILLS))[0])

    assert first.index("What has to happen next") > first.index("Losses and evidence over time")
    assert held.index("What has to happen next") < held.index("Losses and evidence over time")


def test_from_the_first_full_block_on_the_contest_itself_is_drawn() -> None:
    rows = contest(66, **SKILLS)
    made, _ = decided(rows, given(rows, champion="forest", tenure=SINCE))

    drawn = decision_curves.draw(rows, made)

    assert (drawn.against, drawn.is_against_champion, {len(one.days) for one in drawn.of}) == ("forest", True, {5})


def test_a_single_row_can_be_seen_on_an_axis_of_days() -> None:
    rows = contest(1, forest=0.2)
    made, _ = decided(rows, given(rows, champion="forest"))

    figure = decision_plots._figure(decision_curves.draw(rows, made), "brier", 20)
    top, bottom = figure.axes

    assert np.ptp(bottom.get_xlim()) == 6
    assert [line.get_marker() for line in top.get_lines() if len(line.get_xdata()) == 1] == ["o"]


def test_a_page_tells_which_contenders_cannot_become_champion_and_what_to_do() -> None:
    rows = contest(400, **SKILLS)
    able = frozenset(rows.tracks) - {"knn", "amf"}
    made, _ = decided(
        rows,
        given(
            rows,
            champion="forest",
            tenure=SINCE,
            failed_validation={"knn": "constant", "amf": "constant"},
            eligible=able,
        ),
    )

    text = " ".join(Words(page(rows, made)).text.split())

    assert "or cannot be compared amf (version 1), knn (version 5) : predicts the same for every validation row" in text
    assert "change its parameters in the task file" in text


def test_what_a_person_decided_says_that_the_gate_was_not_asked_and_how_to_release_it() -> None:
    asked = {"alias": "champion", "version": 3, "who": "anna", "why": "it raves"}
    forced = Decision("spy", "GSPC", date(2020, 6, 1), "FORCED", "promoted", "forest", None, {"asked": asked})

    assert explanations.why(forced) == (
        "A person moved the alias champion to version 3. The gate had no part in it, and leaves the alias there until "
        'it is released: contender unpin spy --why "…".'
    )
    assert "contender unpin spy" in explanations.why(replace(forced, reason="rolled_back"))


def test_the_champion_that_a_replay_begins_with_is_told_as_that() -> None:
    asked = {"alias": "champion", "version": 1, "who": "anna", "why": explanations.REPLAY_BEGINS}
    forced = Decision("spy", "GSPC", date(2020, 6, 1), "FORCED", "promoted", "naive", None, {"asked": asked})

    assert explanations.why(forced).startswith("The replay was started with naive as champion (--champion)")
    assert "unpin" not in explanations.why(forced)


def test_the_curves_end_with_what_was_decided_on() -> None:
    rows = contest(400, **SKILLS)
    made, verdict = decided(rows, given(rows, champion="forest", tenure=SINCE))

    drawn = decision_curves.draw(rows, made)

    assert [one.challenger for one in drawn.of] == [one.challenger for one in verdict.comparisons]
    for one, compared in zip(drawn.of, verdict.comparisons, strict=True):
        assert one.worth[-1] == compared.shared
        assert one.gained[-1] == pytest.approx(compared.rows * (compared.champion_loss - compared.challenger_loss))
    assert {one.challenger: one.worth[-1] for one in drawn.of} == shared(
        {one.challenger: one.e_value for one in verdict.comparisons}
    )


def test_a_row_that_is_changed_has_another_digest_and_the_others_have_not() -> None:
    rows = contest(400, **SKILLS)
    made, _ = decided(rows, given(rows, champion="forest", tenure=SINCE))
    before = decision_curves.draw(rows, made).digests
    rows.tracks["knn"].values[300] += 1e-12

    after = decision_curves.draw(rows, made).digests

    assert {name for name in before if before[name] != after[name]} == {"knn"}


def test_a_rule_of_margin_says_that_the_evidence_does_not_decide() -> None:
    assert "rule <em>margin</em>" in a_page(gate=Gate(rule="margin", alpha=0.05, block=5, min_rows=60))


def test_names_are_text_and_no_markup() -> None:
    rows = contest(100, **{"<b>x</b>": 0.2})
    made, _ = decided(rows, given(rows))

    assert "<b>x</b>" not in page(rows, made)
    assert "&lt;b&gt;x&lt;/b&gt;" in page(rows, made)


def test_only_without_a_champion_do_the_rows_against_the_baseline_choose_a_first_one() -> None:
    refreshed = a_page(through=date(2020, 3, 1), newer_version=9)

    assert "PROMOTE on" in refreshed
    assert "No row counts for or against forest yet" in refreshed
    assert "They never replace a champion." in refreshed
    assert "choose the first champion" not in refreshed
    assert "They choose the first champion, but never replace a champion." in a_page(None)
    assert "choose the first champion" not in a_page(None, is_lost=True)


def test_the_champion_is_marked_in_the_tables_and_the_baseline_named_as_that() -> None:
    held, first = a_page("logistic"), a_page(None)

    assert held.count("<td>logistic (champion)</td>") == 1
    assert first.count(" (champion)</td>") == 1
    assert "<td>is the baseline</td>" in held
    assert "Champion: base, which is the baseline." in a_page("base", through=date(2020, 3, 1))


def test_the_new_champion_is_marked_among_the_challengers() -> None:
    rows = contest(400, **SKILLS)
    made, _ = decided(rows, given(rows, champion="base", tenure=SINCE))

    assert made.reason == "succession"
    assert f"<td>{made.champion} (champion now)</td>" in page(rows, made)


def test_what_is_said_of_how_evidence_is_drawn_is_true_of_the_picture() -> None:
    days = np.datetime64("2020-01-01") + np.arange(3)

    def shown(*worth: float) -> tuple[str, float, float]:
        one = decision_curves.Curve("forest", days, np.zeros(3), days, np.array(worth), "")
        drawn = decision_curves.Curves("base", True, None, (one,))
        _, bottom = decision_plots._figure(drawn, "brier", 20).axes
        return decision_plots.beyond(drawn), *bottom.get_ylim()

    assert shown(1, 0.5, 12)[0] == ""
    lower, low, _ = shown(1, 1e-9, 0.5)
    assert (lower, low) == (" Evidence below 0.001 is drawn at 0.001.", pytest.approx(1e-3 / 1.8))
    higher, _, high = shown(1, 1e9, 3)
    assert (higher, high) == (" Evidence above 1,000,000 is drawn at 1,000,000.", pytest.approx(3e6))
    assert "Evidence is drawn between" not in a_page()
