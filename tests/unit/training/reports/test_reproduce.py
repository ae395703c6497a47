"""What is compared with the files that were logged: always decision.json; the page only where this release drew it."""

from datetime import date
from typing import Any

import pytest

from tests.support.training.decided import contest, decided, given
from training.promotion.state import Tenure
from training.reports import decision_curves, decision_json, decision_page, publication_log, reproduce

EARLIER = "matplotlib 3.0, code 00000000"


@pytest.fixture(scope="module")
def made() -> reproduce.Files:
    rows = contest(200, forest=0.1, logistic=0.3)
    decision, _ = decided(rows, given(rows, champion="forest", tenure=Tenure(date(2020, 3, 1))))
    return reproduce.Files(decision, decision_curves.draw(rows, decision))


def logged(made: reproduce.Files, drawn_by: str = "", **changed: str) -> dict[str, Any]:
    """What was recorded when the files were logged; `changed` files had other content."""
    hashes = {name: reproduce.sha256(content) for name, content in made.content.items()}
    names = {"page": decision_page.NAME, "json": decision_json.NAME}
    files = hashes | {names[name]: digest for name, digest in changed.items()}
    return {"files": files, "rows": made.drawn.digests, "drawn_by": drawn_by or publication_log.drawn_by()}


def test_the_same_files_do_not_differ(made: reproduce.Files) -> None:
    assert reproduce.compare(logged(made), made) == []


def test_a_page_of_the_same_release_must_be_the_same_to_the_byte(made: reproduce.Files) -> None:
    (line,) = reproduce.compare(logged(made, page="0" * 64), made)

    assert line.startswith(f"report.html, as it was logged: {'0' * 16} → ")


def test_a_page_of_an_earlier_release_may_say_the_same_in_other_words(made: reproduce.Files) -> None:
    assert reproduce.compare(logged(made, EARLIER, page="0" * 64), made) == []


def test_decision_json_must_be_the_same_whatever_release_wrote_it(made: reproduce.Files) -> None:
    differences = reproduce.compare(logged(made, EARLIER, page="0" * 64, json="1" * 64), made)

    assert [line.split(":")[0] for line in differences] == [
        "decision.json, as it was logged",
        "the files were made by matplotlib 3.0, code 00000000, now by matplotlib "
        + publication_log.drawn_by().removeprefix("matplotlib "),
    ]


def test_the_rows_behind_the_curves_are_compared_whatever_release_drew_them(made: reproduce.Files) -> None:
    before = logged(made, EARLIER)
    before["rows"] = {**before["rows"], "logistic": "f" * 16}

    first, *_ = reproduce.compare(before, made)

    assert first.startswith(f"the rows of logistic against forest: {'f' * 16} → ")
