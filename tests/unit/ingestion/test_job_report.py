from datetime import date

from ingestion.job import IngestReport
from ingestion.store.quarantine import RejectedRow

MAY = [date(2024, 5, day) for day in (1, 2, 3, 6, 7)]


def report(*faults: RejectedRow, gaps: tuple[date, ...] = ()) -> IngestReport:
    return IngestReport(
        "spy", "SPY", "yahoo", "stored", new=1, faults=faults, gaps=gaps, first_date=MAY[0], last_date=MAY[2]
    )


def test_what_was_quarantined_is_told_with_its_date_its_reason_and_where_to_look() -> None:
    bad = RejectedRow(MAY[1], "a price of zero or less", {"close": -1.0})

    assert report(bad).sentence() == (
        "SPY from yahoo: 1 new, 1 quarantined; 2024-05-01 to 2024-05-03. Quarantined (2024-05-02: a price of zero or "
        "less): kept out, and with their values in the table quarantine."
    )


def test_of_many_faults_and_gaps_the_first_three_are_told() -> None:
    bad = [RejectedRow(day, "a volume below zero", {}) for day in (None, *MAY)]

    sentence = report(*bad, gaps=tuple(MAY)).sentence()

    assert "6 quarantined" in sentence
    assert "(no date: a volume below zero; 2024-05-01: a volume below zero; 2024-05-02: a volume below zero; …)" in (
        sentence
    )
    assert sentence.endswith("5 missing (2024-05-01, 2024-05-02, 2024-05-03, …): requested again by later runs.")
