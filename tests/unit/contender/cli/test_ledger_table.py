import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from contender.cli.ledger import present, reason, table
from training.ledger.history import Ending, Holder, LedgerLine

LOGISTIC, RIVER = Holder(3, "logistic-shrunk"), Holder(12, "river-logistic")
AT = datetime(2024, 5, 6, 7, 8, tzinfo=UTC)


def line(
    ending: Ending = "made",
    *,
    before: Holder | None = LOGISTIC,
    after: Holder | None = RIVER,
    decision: str = "",
    why: str = "PROMOTE succession",
    who: str = "promote",
    pins: bool = False,
    number: int | None = None,
) -> LedgerLine:
    at = None if ending == "unrecorded" else AT
    return LedgerLine(at, "champion", before, after, who, why, ending, decision, pins, number)


def printed(*lines: LedgerLine, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table(lines, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_in_a_wide_terminal_a_move_is_one_row() -> None:
    heading, row = printed(line(number=84), width=200)

    assert heading.split() == ["when", "(UTC)", "alias", "from", "→", "to", "decision", "who", "why"]
    assert [cell.strip() for cell in row.split("  ") if cell.strip()] == [
        "2024-05-06 07:08",
        "champion",
        "3 logistic-shrunk → 12 river-logistic",
        "84",
        "promote",
        "PROMOTE succession",
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_every_word_of_a_move_can_be_read(width: int) -> None:
    why = "it said UP for a whole week while everything fell; see the incident of Tuesday"
    shown = printed(
        line(who="anna", why=why, decision="FORCED rolled_back", pins=True),
        line("external", who="external", why="moved by hand in MLflow", after=Holder(7, None), pins=True),
        line("released", before=RIVER, who="bert", why="seen enough"),
        width=width,
    )

    assert all(len(row) <= width for row in shown)
    assert not [row for row in shown if "…" in row]
    words = " ".join(shown).split()
    for message in (*why.split(), "FORCED", "rolled_back,", "external,", "unpinned:", "(not", "ours)", "anna", "bert"):
        assert message in words
    assert words.count("pinned:") == 2
    assert words.count("2024-05-06") == 3


def test_in_80_columns_the_alias_is_below_the_time_and_the_decision_is_still_there() -> None:
    shown = printed(line(number=84), line("released", before=RIVER, why="seen enough"), width=80)

    assert [row.split() for row in shown[:4]] == [
        ["when", "(UTC)"],
        ["alias", "from", "→", "to", "decision", "who", "why"],
        ["2024-05-06", "07:08", "3", "logistic-shrunk", "→", "84", "promote", "PROMOTE", "succession"],
        ["champion", "12", "river-logistic"],
    ]


@pytest.mark.parametrize(
    ("made", "reported"),
    [
        (line(decision="PROMOTE succession"), "PROMOTE succession"),
        (line(decision="HOLD not_enough_evidence", why="leads the rest"), "leads the rest"),
        (line(decision="FORCED promoted", why="a test", pins=True), "FORCED promoted, pinned: a test"),
        (line("external", why="moved by hand in MLflow", pins=True), "external, pinned: moved by hand in MLflow"),
        (line("unrecorded", why="moved by hand in MLflow", pins=True), "external, pinned: moved by hand in MLflow"),
        (line("released", why="seen enough"), "unpinned: seen enough"),
        (line("abandoned", decision="FORCED promoted", why="a test"), "given up: a test"),
        (line("unfinished", why="PROMOTE refresh"), "not finished; the next job ends it: PROMOTE refresh"),
    ],
)  # fmt: skip
def test_the_reason_says_what_came_of_a_move(made: LedgerLine, reported: str) -> None:
    assert reason(made) == reported


def test_a_move_that_is_not_in_the_ledger_yet_says_so() -> None:
    _, row = printed(line("unrecorded", before=None, who="external", pins=True), width=200)

    assert row.startswith("not recorded yet  champion  none → 12 river-logistic")


def test_below_the_table_is_what_counts_and_what_to_do() -> None:
    assert present("spy", {}, is_lost=False) == ["No alias of spy was ever moved: nothing was promoted yet."]
    assert present("spy", {"champion": (LOGISTIC, False), "challenger": (RIVER, False)}, is_lost=False) == [
        "Now: challenger 12 river-logistic; champion 3 logistic-shrunk."
    ]
    assert present("spy", {"champion": (LOGISTIC, True)}, is_lost=False) == [
        "Now: champion 3 logistic-shrunk, pinned.",
        'The gate does not move a pinned alias until: contender unpin spy --why "…"',
    ]
    lost = present("spy", {"champion": (None, True)}, is_lost=True)
    assert lost[0] == "Now: champion none, pinned."
    assert lost[1].startswith("champion_lost: ")
    assert 'contender rollback spy --why "…"' in lost[1]
