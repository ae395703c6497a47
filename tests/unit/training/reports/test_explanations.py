"""Every reason that the gate can give has its words, and they are filled in from the evidence."""

import ast
from datetime import date
from pathlib import Path

import pytest

from tests.support.training.decided import contest, decided, given
from training.ledger.decisions import Decision
from training.promotion import gate
from training.promotion.state import Tenure
from training.registry import validation
from training.reports import explanations

SINCE = Tenure(date(2020, 3, 1))


def reasons_in_the_code() -> set[str]:
    """Every reason that the gate can give, as its source has it: what `_verdict`, `_bootstrap`, `_comparison` name."""
    tree = ast.parse(Path(gate.__file__).read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in ("_verdict", "_bootstrap", "_comparison"):
            found |= {
                one.value
                for one in ast.walk(node)
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value.replace("_", "").isalpha()
                if one.value == one.value.lower() and one.value != "margin"
            }
    checks = {value for name, value in vars(validation).items() if name.isupper() and isinstance(value, str)}
    return (found - {"better"}) | checks | {gate.SUCCESSION, gate.REFRESH, gate.GUARD, gate.STALE, gate.LOST}


def test_every_reason_has_a_sentence() -> None:
    assert {"best_backtest", "succession", "guard", "harm", "stale", "golden_batch"} <= reasons_in_the_code()
    assert reasons_in_the_code() <= set(explanations.REASONS)


@pytest.mark.parametrize("reason", sorted(explanations.REASONS))
def test_every_sentence_is_filled_in_from_the_evidence(reason: str) -> None:
    rows = contest(400, forest=0.12, logistic=0.2, **{"river-logistic": 0.35})
    made, _ = decided(rows, given(rows, champion="forest", tenure=SINCE, failed_validation={"logistic": "constant"}))
    outcome = "REJECT" if reason in (validation.CONSTANT, validation.NOT_FINITE) else made.outcome

    said = explanations.why(Decision(**{**vars(made), "reason": reason, "outcome": outcome}))

    assert said[0].isupper() or said.startswith(("river-logistic", "None,"))
    assert said.endswith(".")
    assert "{" not in said


def test_every_comparison_has_its_words() -> None:
    tree = ast.parse(Path(gate.__file__).read_text())
    (function,) = (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == "_comparison")
    assigned = [one.value for one in ast.walk(function) if isinstance(one, ast.Assign)]
    named = {
        c.value for value in assigned for c in ast.walk(value) if isinstance(c, ast.Constant) and c.value != "margin"
    }

    assert named == set(explanations.COMPARED)
