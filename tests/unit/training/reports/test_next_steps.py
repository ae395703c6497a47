"""What has to happen next, in words: the first pages of a task say it, and how far it is."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from core.config.tasks import Gate
from tests.support.training.boards import board
from tests.support.training.decided import contest, decided, given
from training.evaluation.scoreboard import Scoreboard
from training.ledger.decisions import Decision
from training.promotion.state import Tenure
from training.reports import explanations, next_steps

PROMOTED = date(2020, 3, 31)


def told(rows: Scoreboard, **changes: Any) -> str:
    made, _ = decided(rows, given(rows, **changes))
    return " ".join(next_steps.describe(made))


def first_sessions(count: int) -> tuple[Scoreboard, dict[str, Any]]:
    """So many rows after a champion was chosen on the 91 before."""
    rows = contest(91 + count, forest=0.3, logistic=0.1)
    return rows, {"champion": "forest", "tenure": Tenure(PROMOTED)}


def test_after_the_first_champion_it_says_that_evidence_begins_and_what_is_enough() -> None:
    described = told(contest(91, forest=0.3, logistic=0.1))

    assert "The rows up to 2020-03-31 were known when forest became champion, so they count neither" in described
    assert "when there are 60 rows after 2020-03-31 that both predicted, its mean loss on them is smaller" in described
    assert "shared among the 2 challengers, has reached 20." in described
    assert described.endswith("So far: 0 of 60 rows. Each new label of the series adds one.")


def test_a_first_hold_says_how_many_rows_there_are() -> None:
    rows, tenure = first_sessions(3)

    assert told(rows, **tenure).endswith("So far: 3 of 60 rows. Each new label of the series adds one.")


def test_with_rows_enough_it_is_the_evidence_that_is_told_and_only_once() -> None:
    rows, tenure = first_sessions(100)
    made, _ = decided(rows, given(rows, **tenure))
    refresh = replace(made, reason="refresh", outcome="PROMOTE")

    assert made.reason == "not_enough_evidence"
    assert "So far" not in " ".join(next_steps.describe(made))
    assert f"So far: 100 rows, and the evidence of {made.challenger} is worth " in " ".join(
        next_steps.describe(refresh)
    )


def test_after_a_succession_the_evidence_of_the_one_before_is_not_that_of_the_next() -> None:
    rows = contest(300, forest=0.0, logistic=1.0)
    made, _ = decided(rows, given(rows, champion="forest", tenure=Tenure(PROMOTED)))

    assert made.reason == "succession"
    assert next_steps.describe(made)[-1].startswith("So far: 0 of 60 rows.")


def test_without_a_champion_it_says_who_has_predicted_how_much() -> None:
    rows = board(np.ones(12), base=np.full(12, 0.5), forest=np.array([np.nan] * 5 + [0.6] * 7))
    made, _ = decided(rows, given(rows))

    assert explanations.why(made) == "No contender has been scored on 60 rows yet, so no champion can be chosen."
    assert next_steps.describe(made) == [
        "Of the contenders that are scored on 60 rows, the one with the lowest mean loss becomes champion.",
        "Scored so far: base on 12, forest on 7. Each new label of the series adds a row.",
    ]


def test_that_the_first_labels_are_not_scored_is_told_while_it_matters() -> None:
    rows = board(np.ones(12), base=np.full(12, 0.5), forest=np.full(12, 0.6))
    made, _ = decided(rows, given(rows, scored_from=24))

    assert next_steps.describe(made)[-2].startswith("Scored so far: all of them on 12.")
    assert next_steps.describe(made)[-1] == "The first 24 labelled rows are not scored (scored_from)."


def test_when_no_version_can_serve_rows_are_not_what_is_waited_for() -> None:
    described = told(contest(91, forest=0.3), failed_validation={"base": "not_finite", "forest": "constant"})

    assert described == "The first version that passes its checks becomes champion."


def test_alone_a_champion_needs_a_challenger_and_a_pinned_one_a_release() -> None:
    rows, tenure = first_sessions(3)

    assert told(rows, **tenure, eligible=frozenset({"forest"})).startswith(
        "No other contender has a version that could serve: "
    )
    assert "the champion stays." in told(rows, **tenure, is_pinned=True)


def test_a_rule_of_margin_asks_for_its_margin_and_no_evidence() -> None:
    rows, tenure = first_sessions(3)
    gate = Gate(rule="margin", margin=0.01, alpha=0.05, block=5, min_rows=60)

    described = told(rows, **tenure, gate=gate)

    assert "smaller by more than 0.01." in described
    assert "evidence" not in described


@pytest.mark.parametrize("reason", ["stale", "champion_lost", "champion_unscorable"])
def test_a_reason_that_says_what_to_do_is_left_to_speak(reason: str) -> None:
    rows, tenure = first_sessions(3)
    made, _ = decided(rows, given(rows, **tenure))

    assert next_steps.describe(replace(made, reason=reason)) == []


def test_of_what_a_person_decided_nothing_is_waited_for() -> None:
    asked = {"asked": {"alias": "champion", "version": 3, "who": "anna", "why": "it raves"}}

    assert next_steps.describe(Decision("spy", "GSPC", PROMOTED, "FORCED", "promoted", "forest", None, asked)) == []
