"""Contenders that cannot become champion: of each what is wrong with its version, and what to do about it."""

import ast
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from msgspec import structs

from tests.support.training.decided import contest, decided, given
from training.ledger.decisions import Decision
from training.promotion import gate
from training.promotion.state import Tenure
from training.registry import validation
from training.reports import diagnostics
from training.reports.diagnostics import Fault

SINCE = Tenure(date(2020, 3, 1))
ROWS = contest(200, forest=0.3, logistic=0.1, knn=0.2)
EVERYBODY = {"base", "forest", "logistic", "knn"}


def found(without: str = "", **changes: Any) -> list[Fault]:
    what = given(ROWS, champion="forest", tenure=changes.pop("tenure", SINCE), **changes)
    versions = {name: version for name, version in what.versions.items() if name != without}
    return diagnostics.found(decided(ROWS, structs.replace(what, versions=versions))[0])


def test_every_check_of_a_version_has_its_words_and_its_advice() -> None:
    checks = {value for name, value in vars(validation).items() if name.isupper() and isinstance(value, str)}

    assert checks == set(diagnostics.VERSIONS)


def test_every_comparison_that_rows_do_not_mend_has_them_too() -> None:
    tree = ast.parse(Path(gate.__file__).read_text())
    named = {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)}

    assert set(diagnostics.COMPARISONS) == {"identical", "overlap", "challenger_unscorable"} <= named


def test_a_version_that_is_not_let_in_is_named_with_what_is_wrong_and_what_to_do() -> None:
    (one,) = found(failed_validation={"logistic": "fewer_rows"}, eligible=frozenset(EVERYBODY - {"logistic"}))

    assert one.contenders == "logistic (version 4)"
    assert one.problem == "was trained on fewer rows than the version that serves."
    assert "see whether the series was cut" in one.advice


def test_the_same_fault_of_two_is_told_once() -> None:
    (one,) = found(
        failed_validation={"logistic": "constant", "knn": "constant"}, eligible=frozenset({"base", "forest"})
    )

    assert one.contenders == "knn (version 3), logistic (version 4)"


def test_one_without_a_version_is_told_apart_from_one_that_was_rejected() -> None:
    able = frozenset(EVERYBODY - {"knn"})

    (bare,) = found(without="knn", eligible=able)
    (refused,) = found(without="knn", eligible=able, tenure=structs.replace(SINCE, refused=(7, 9)))

    assert (bare.contenders, bare.problem) == ("knn", "has no version yet.")
    assert "rejected before (rejected: 7, 9)" in refused.problem


def test_identical_predictions_are_told() -> None:
    rows = contest(200, forest=0.3)
    tracks = {**rows.tracks, "copy": rows.tracks["forest"]}
    rows = replace(rows, tracks=tracks)

    (one,) = diagnostics.found(decided(rows, given(rows, champion="forest", tenure=SINCE))[0])

    assert (one.contenders, one.problem) == ("copy", "has predicted exactly what forest predicts, on all 139 rows.")


def test_where_all_are_eligible_there_is_nothing_to_tell_nor_of_what_a_person_decided() -> None:
    assert found() == []
    assert diagnostics.found(Decision("spy", "GSPC", date(2020, 6, 1), "FORCED", "promoted", "forest", None, {})) == []
