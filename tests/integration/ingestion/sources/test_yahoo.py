import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from math import isnan
from pathlib import Path

import pytest

from core.config.settings import Settings
from core.config.task_files import load_task
from core.errors import ConfigurationError, DataRefusedError, SourceUnreachableError
from ingestion.sources.base import NoNetworkError, RateLimitedError, RawRow
from ingestion.sources.yahoo import Yahoo
from ingestion.sources.yahoo_session import BoundedSession, Patience
from tests.support.ingestion.yahoo_stand_in import Bar, YahooStandIn, walk, yahoo_stand_in
from tests.support.paths import TASKS

SPY = load_task(TASKS, "spy")
FIRST, LAST = date(2023, 1, 3), date(2024, 5, 3)
SHORT = Patience(connect=0.5, courtesy=0.3, chart=0.6, total=2.0, attempts=2)


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    with yahoo_stand_in() as stand_in:
        stand_in.bars = walk(FIRST, LAST)
        yield stand_in


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all: the client keeps the place of its cache for the life of the process."""
    return tmp_path_factory.getbasetemp() / "yahoo-home"


def fetch(
    yahoo: YahooStandIn, home: Path, since: date | None = None, patience: Patience = SHORT, **changes: object
) -> list[RawRow]:
    settings = Settings(home=home, yahoo_url=yahoo.url)
    return Yahoo(settings, SPY.model_copy(update=changes), patience).fetch(since)


def test_the_real_client_brings_raw_bars(yahoo: YahooStandIn, home: Path) -> None:
    rows = fetch(yahoo, home)

    assert [row.stamp for row in rows] == [bar.day for bar in yahoo.bars]
    assert [row.fields for row in rows] == [bar.fields for bar in yahoo.bars]


def test_splits_are_undone_and_dividends_are_per_share_of_their_day(yahoo: YahooStandIn, home: Path) -> None:
    yahoo.bars[100] = replace(yahoo.bars[100], dividend=1.5)
    yahoo.bars[200] = replace(yahoo.bars[200], dividend=0.75, split=2.0)
    yahoo.bars[300] = replace(yahoo.bars[300], split=0.5)

    assert [row.fields for row in fetch(yahoo, home)] == [bar.fields for bar in yahoo.bars]


def test_a_later_start_asks_for_less_and_undoes_the_splits_all_the_same(yahoo: YahooStandIn, home: Path) -> None:
    yahoo.bars[320] = replace(yahoo.bars[320], split=4.0)

    rows = fetch(yahoo, home, since=yahoo.bars[300].day)

    assert [row.fields for row in rows] == [bar.fields for bar in yahoo.bars[300:]]
    assert yahoo.since() == yahoo.bars[300].day


def test_one_fetch_is_one_question_for_prices(yahoo: YahooStandIn, home: Path) -> None:
    fetch(yahoo, home)

    assert [request.split("?")[0] for request in yahoo.chart_requests] == ["/v8/finance/chart/SPY"]


def test_with_a_mirror_nothing_goes_to_another_host(yahoo: YahooStandIn) -> None:
    hosts = ("fc.yahoo.com", "query1.finance.yahoo.com", "query2.finance.yahoo.com", "guce.yahoo.com", "anywhere.test")

    with closing(BoundedSession(yahoo.url + "/", SHORT)) as session:
        for host in hosts:
            session.get(f"https://{host}/asked?of={host}")
        yahoo.fault = "redirect"
        led_away = session.get("https://query2.finance.yahoo.com/v8/finance/chart/SPY")

    assert yahoo.requests == [*(f"/asked?of={host}" for host in hosts), "/v8/finance/chart/SPY"]
    assert led_away.status_code == 302


def test_prices_are_not_lowered_for_dividends(yahoo: YahooStandIn, home: Path) -> None:
    yahoo.bars[-1] = replace(yahoo.bars[-1], dividend=40.0)

    assert [row.fields for row in fetch(yahoo, home)] == [bar.fields for bar in yahoo.bars]


def test_the_symbol_may_differ_from_the_series(yahoo: YahooStandIn, home: Path) -> None:
    fetch(yahoo, home, source_options=SPY.source_options.model_copy(update={"symbol": "IVV"}))

    assert yahoo.chart_requests[0].startswith("/v8/finance/chart/IVV?")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
def test_bars_are_dated_by_the_exchange_in_whatever_zone_the_machine_is(
    yahoo: YahooStandIn, home: Path, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "TZ", zone)
    time.tzset()
    try:
        rows = fetch(yahoo, home, since=yahoo.bars[10].day)
    finally:
        monkeypatch.undo()
        time.tzset()

    assert [row.stamp for row in rows] == [bar.day for bar in yahoo.bars[10:]]


def test_a_bar_of_nulls_is_shown_and_does_not_vanish(yahoo: YahooStandIn, home: Path) -> None:
    yahoo.bars[-1] = Bar(LAST, None, None, None, None, None)
    yahoo.bars[-5] = replace(yahoo.bars[-5], close=None)

    rows = fetch(yahoo, home)

    assert len(rows) == len(yahoo.bars)
    assert isnan(rows[-1].fields["close"])
    assert isnan(rows[-5].fields["close"])
    assert rows[-5].fields["open"] == yahoo.bars[-5].open


def test_a_live_bar_beside_the_final_one_gives_one_bar_of_that_day(yahoo: YahooStandIn, home: Path) -> None:
    yahoo.live = replace(yahoo.bars[-1], volume=7_000_000)

    rows = fetch(yahoo, home)

    assert [row.stamp for row in rows] == [bar.day for bar in yahoo.bars]


def test_a_split_that_is_listed_but_not_applied_is_refused(yahoo: YahooStandIn, home: Path) -> None:
    half = yahoo.bars[-1]
    yahoo.bars[-1] = Bar(LAST, *(price / 2 for price in (half.open, half.high, half.low, half.close)), 1e6, split=2.0)
    yahoo.unapplied_splits = True

    with pytest.raises(DataRefusedError, match="2:1 split is listed"):
        fetch(yahoo, home)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("429", RateLimitedError, "refuses more requests"),
        ("500", SourceUnreachableError, "500"),
        ("garbage", SourceUnreachableError, "cannot be used"),
        ("maintenance", SourceUnreachableError, "CURRENTLY DOWN"),
        ("hang", SourceUnreachableError, "did not answer"),
        ("empty", DataRefusedError, "no bars of SPY"),
        ("unknown", DataRefusedError, "No data found"),
    ],
)
def test_a_failure_is_told_from_an_empty_answer(
    yahoo: YahooStandIn, home: Path, fault: str, error: type[Exception], said: str
) -> None:
    yahoo.fault = fault

    with pytest.raises(error, match=said) as caught:
        fetch(yahoo, home)

    assert isinstance(caught.value, SourceUnreachableError) is (error is not DataRefusedError)


def test_a_server_error_that_passes_is_overcome_and_a_rate_limit_is_not_argued_with(
    yahoo: YahooStandIn, home: Path
) -> None:
    yahoo.fault, yahoo.heal_after = "garbage", 1
    assert len(fetch(yahoo, home)) == len(yahoo.bars)
    asked = len(yahoo.chart_requests)

    yahoo.fault, yahoo.heal_after = "429", None
    with pytest.raises(RateLimitedError):
        fetch(yahoo, home)

    assert (asked, len(yahoo.chart_requests) - asked) == (2, 2)  # the client itself asks twice after a 429


def test_a_server_that_never_answers_anything_is_given_up_in_time(yahoo: YahooStandIn, home: Path) -> None:
    yahoo.fault = "hang all"
    started = time.monotonic()

    with pytest.raises(SourceUnreachableError):
        fetch(yahoo, home)

    assert time.monotonic() - started < 100  # the client's own waits are two minutes


def test_a_machine_without_a_network_is_told_so_at_once(home: Path) -> None:
    for nowhere in ("http://127.0.0.1:9", "http://no-such-host.invalid"):
        with pytest.raises(NoNetworkError, match="cannot be reached"):
            Yahoo(Settings(home=home, yahoo_url=nowhere), SPY, SHORT).fetch(None)


def test_a_symbol_of_another_exchange_than_the_calendars_is_refused(yahoo: YahooStandIn, home: Path) -> None:
    yahoo.zone = "Europe/London"

    with pytest.raises(DataRefusedError, match="by the clock of Europe/London, the calendar XNYS"):
        fetch(yahoo, home)


def test_a_broken_cache_of_the_client_is_thrown_away(yahoo: YahooStandIn, home: Path) -> None:
    (home / "cache" / "yfinance").mkdir(parents=True, exist_ok=True)
    (home / "cache" / "yfinance" / "cookies.db").write_bytes(b"no database at all, but long enough to be read" * 100)

    assert len(fetch(yahoo, home)) == len(yahoo.bars)


def test_yahoo_has_daily_bars_only(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="only daily bars"):
        Yahoo(Settings(home=home), load_task(TASKS, "airline"))


def test_the_client_writes_nothing_on_the_terminal(
    yahoo: YahooStandIn, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(yahoo, home)
    yahoo.fault = "unknown"
    with pytest.raises(DataRefusedError):
        fetch(yahoo, home)

    assert capfd.readouterr() == ("", "")
