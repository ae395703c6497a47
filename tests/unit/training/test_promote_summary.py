from training.ledger.entries import new_move
from training.promote_summary import PromoteReport

UNPIN = 'moved by hand, so it stays until: contender unpin spy --why "…"'


def report(outcome: str, reason: str, *, is_new: bool = True) -> PromoteReport:
    moves = (new_move("spy", "champion", 3, 1, who="external", why="moved by hand in MLflow"),) if is_new else ()
    return PromoteReport(
        "spy", outcome, reason, "base-rate", "logistic", "no", "brier", {"base-rate": 0.249}, moves, is_new, 12,
        {3: "forest"},
    )  # fmt: skip


def test_a_decision_that_a_person_took_from_the_gate_names_the_way_back() -> None:
    assert report("HOLD", "pinned").sentence() == (
        "decision 12: HOLD (pinned): champion base-rate (brier 0.249), challenger logistic, beats the baseline: no; "
        f"champion: forest v3 → v1 (moved by hand in MLflow); {UNPIN}"
    )
    said = report("HOLD", "pinned", is_new=False).sentence()
    assert said == f"nothing to do: decision 12, HOLD (pinned), is current; {UNPIN}"


def test_other_decisions_do_not() -> None:
    assert "unpin" not in report("HOLD", "too_few_rows").sentence()
