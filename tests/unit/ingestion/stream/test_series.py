"""The bundled streams are River's own, value for value, though River is not imported to read them."""

import subprocess
import sys

from river import datasets

from ingestion.stream import series as streams


def test_the_airline_stream_is_rivers() -> None:
    series = streams.airline()

    rows = [(f"{when['month']:%Y-%m}", count) for when, count in datasets.AirlinePassengers()]
    assert [(series.item(n).input, series.item(n).target) for n in range(1, series.total + 1)] == rows
    assert rows[0] == ("1949-01", 112)
    assert type(series.item(1).target) is int


def test_the_phishing_stream_is_rivers_with_numbers_for_targets() -> None:
    series = streams.phishing()

    rows = list(datasets.Phishing())
    assert [series.item(n).input for n in range(1, series.total + 1)] == [features for features, _ in rows]
    assert [series.item(n).target for n in range(1, series.total + 1)] == [int(target) for _, target in rows]
    assert type(series.item(1).target) is int


def test_river_is_not_imported_for_it() -> None:
    read = "from ingestion.stream import series; series.airline(); series.phishing()"
    code = f"import sys; {read}; sys.exit('river' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
