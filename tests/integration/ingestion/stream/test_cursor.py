"""Handing out on a real Postgres: once each, in order, again when a lease runs out, and from the store's series too."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from core.db.event_tables import events, quarantined_events, stream_leases, streams
from core.errors import NotFoundError
from ingestion.store.observations import Observation, record
from ingestion.stream.cursor import NothingAvailable, Stream, StreamedObservation, StreamProgress

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def stream(engine: sa.Engine) -> Stream:
    return Stream(engine)


def number(handed: StreamedObservation | NothingAvailable) -> int:
    assert isinstance(handed, StreamedObservation)
    return handed.observation_id


def drain(stream: Stream, series: str = "airline") -> list[int]:
    taken = []
    while isinstance(handed := stream.next(series), StreamedObservation):
        taken.append(handed.observation_id)
    return taken


def run_out(engine: sa.Engine, *numbers: int) -> None:
    """Lets leases run out now."""
    with engine.begin() as connection:
        chosen = stream_leases.c.observation_id.in_(numbers)
        connection.execute(sa.update(stream_leases).where(chosen).values(expires_at=sa.func.now()))


def learn(engine: sa.Engine, log: str, number: int, *, kind: str = "row", target: float | None = 1.0) -> None:
    """Puts an event under an observation's number, as the log does."""
    with engine.begin() as connection:
        seq = connection.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0) + 1)).scalar_one()
        values = {"log": log, "seq": seq, "kind": kind, "event_id": str(number), "target": target}
        connection.execute(sa.insert(events).values(**values, features=None if kind == "label" else {}))


def refuse(engine: sa.Engine, log: str, number: int, *, target: float | None = 1.0) -> None:
    """Puts a row under an observation's number into quarantine."""
    with engine.begin() as connection:
        values = {"log": log, "kind": "row", "event_id": str(number), "target": target, "reason": "r", "detail": "d"}
        connection.execute(sa.insert(quarantined_events).values(**values))


def store(engine: sa.Engine, series: str, values: dict[date, dict[str, float]], fetched_at: datetime) -> None:
    rows = [Observation(day, LONG_AGO, fields) for day, fields in values.items()]
    with engine.begin() as connection:
        record(connection, series, "test", rows, fetched_at)


def test_the_first_observation_is_january_1949(stream: Stream) -> None:
    assert stream.status("airline") == StreamProgress(0, 144, 144, completed=False)

    assert stream.next("airline") == StreamedObservation(1, "1949-01", 112, 143)
    assert stream.next("airline") == StreamedObservation(2, "1949-02", 118, 142)
    assert stream.status("airline") == StreamProgress(2, 144, 142, completed=False)


def test_after_the_last_there_is_no_more_until_a_reset(stream: Stream) -> None:
    assert drain(stream) == list(range(1, 145))

    assert stream.next("airline") == NothingAvailable(None)
    assert stream.status("airline") == StreamProgress(144, 144, 0, completed=True)
    assert stream.reset("airline") == StreamProgress(0, 144, 144, completed=False)
    assert number(stream.next("airline")) == 1


def test_a_phishing_page_is_its_features_and_a_number(stream: Stream) -> None:
    handed = stream.next("phishing")

    assert isinstance(handed, StreamedObservation)
    assert isinstance(handed.input, dict)
    assert (handed.input["is_popular"], handed.target, handed.remaining) == (0.5, 1, 1249)


def test_series_have_positions_of_their_own(stream: Stream) -> None:
    stream.next("airline")

    assert number(stream.next("phishing")) == 1
    stream.reset("phishing")
    assert number(stream.next("airline")) == 2


def test_many_at_once_never_get_the_same(engine: sa.Engine) -> None:
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda _: drain(Stream(engine)), range(6)))

    assert sorted(number for part in taken for number in part) == list(range(1, 145))
    with engine.connect() as connection:
        assert connection.execute(sa.select(streams.c.position)).scalars().all() == [144]


def test_what_is_not_acknowledged_in_time_comes_again_first(stream: Stream, engine: sa.Engine) -> None:
    assert [number(stream.next("airline", lease_seconds=60)) for _ in range(3)] == [1, 2, 3]
    assert stream.status("airline") == StreamProgress(3, 144, 141, completed=False)
    learn(engine, "live", 2)

    run_out(engine, 1, 2, 3)

    assert stream.status("airline") == StreamProgress(3, 144, 143, completed=False)
    assert stream.next("airline", lease_seconds=60) == StreamedObservation(1, "1949-01", 112, 142)
    assert stream.next("airline") == StreamedObservation(3, "1949-03", 132, 141)
    assert number(stream.next("airline")) == 4


def test_an_observation_taken_over_without_a_lease_does_not_come_again(stream: Stream, engine: sa.Engine) -> None:
    stream.next("airline", lease_seconds=60)
    run_out(engine, 1)
    assert number(stream.next("airline")) == 1

    run_out(engine, 1)

    assert number(stream.next("airline")) == 2


@pytest.mark.parametrize(("kind", "target", "comes_again"), [("label", 1.0, False), ("predict", None, True)])
def test_a_label_acknowledges_and_a_prediction_does_not(
    stream: Stream, engine: sa.Engine, kind: str, target: float | None, comes_again: bool
) -> None:
    stream.next("airline", lease_seconds=60)
    learn(engine, "live", 1, kind=kind, target=target)

    run_out(engine, 1)

    assert number(stream.next("airline")) == (1 if comes_again else 2)


@pytest.mark.parametrize(
    ("log", "target", "comes_again"), [("live", 1.0, False), ("live", None, True), ("phishing", 1.0, True)]
)
def test_a_row_in_quarantine_was_taken_notice_of(
    stream: Stream, engine: sa.Engine, log: str, target: float | None, comes_again: bool
) -> None:
    stream.next("airline", lease_seconds=60)
    refuse(engine, log, 1, target=target)

    run_out(engine, 1)

    assert number(stream.next("airline")) == (1 if comes_again else 2)


@pytest.mark.parametrize(
    ("series", "task", "log", "comes_again"),
    [
        ("phishing", None, "phishing", False),
        ("phishing", None, "live", True),
        ("airline", None, "phishing", True),
        ("airline", "mine", "mine", False),
        ("airline", "mine", "live", True),
    ],
)
def test_the_log_that_acknowledges_is_the_tasks(
    stream: Stream, engine: sa.Engine, series: str, task: str | None, log: str, comes_again: bool
) -> None:
    stream.next(series, lease_seconds=60, task=task)
    learn(engine, log, 1)

    run_out(engine, 1)

    assert number(stream.next(series)) == (1 if comes_again else 2)


def test_it_is_completed_when_the_last_lease_is_acknowledged(stream: Stream, engine: sa.Engine) -> None:
    taken = [number(stream.next("airline", lease_seconds=3600)) for _ in range(144)]
    assert taken == list(range(1, 145))
    for one in taken[:-1]:
        learn(engine, "live", one)

    nothing = stream.next("airline", lease_seconds=60)

    assert isinstance(nothing, NothingAvailable)
    assert nothing.wait_seconds is not None
    assert 3500 < nothing.wait_seconds <= 3600
    assert stream.status("airline") == StreamProgress(144, 144, 0, completed=False)
    learn(engine, "live", 144)
    assert stream.status("airline") == StreamProgress(144, 144, 0, completed=True)
    assert stream.next("airline") == NothingAvailable(None)


def test_overdue_observations_are_shared_out_once_each(stream: Stream, engine: sa.Engine) -> None:
    for _ in range(144):
        stream.next("airline", lease_seconds=60)
    run_out(engine, *range(1, 145))

    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda _: drain(Stream(engine)), range(6)))

    assert sorted(number for part in taken for number in part) == list(range(1, 145))


def test_a_reset_ends_the_leases(stream: Stream, engine: sa.Engine) -> None:
    stream.next("airline", lease_seconds=60)
    stream.reset("airline")
    run_out(engine, 1)

    assert [number(stream.next("airline")) for _ in range(3)] == [1, 2, 3]


def test_a_stored_series_is_streamed_by_date_as_it_is_known_now(stream: Stream, engine: sa.Engine) -> None:
    days = [date(2020, 1, day) for day in (2, 3, 6)]
    store(engine, "SPY", {day: {"open": 1.0, "close": 100.0 + day.day} for day in days}, LONG_AGO)
    store(engine, "SPY", {days[1]: {"open": 1.0, "close": 50.5}}, LONG_AGO + timedelta(days=9))

    assert stream.next("SPY") == StreamedObservation(1, "2020-01-02", 102, 2)
    assert stream.next("SPY") == StreamedObservation(2, "2020-01-03", 50.5, 1)
    assert stream.next("SPY") == StreamedObservation(3, "2020-01-06", 106, 0)
    assert stream.next("SPY") == NothingAvailable(None)


def test_a_stored_series_that_grows_goes_on_and_a_mended_gap_comes_last(stream: Stream, engine: sa.Engine) -> None:
    store(engine, "visitors", {date(2020, 1, 2): {"value": 1.0}, date(2020, 1, 6): {"value": 3.0}}, LONG_AGO)
    assert [number(stream.next("visitors")) for _ in range(2)] == [1, 2]
    assert stream.status("visitors").completed

    store(engine, "visitors", {date(2020, 1, 3): {"value": 2.0}}, LONG_AGO)

    assert stream.next("visitors") == StreamedObservation(3, "2020-01-03", 2, 0)


def test_what_is_not_known_yet_is_not_handed_out(stream: Stream, engine: sa.Engine) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with engine.begin() as connection:
        known = Observation(date(2020, 1, 2), LONG_AGO, {"close": 1.0})
        record(connection, "SPY", "test", [known, Observation(date(2020, 1, 3), tomorrow, {"close": 2.0})], LONG_AGO)

    assert stream.status("SPY").total_observations == 1


@pytest.mark.parametrize("act", [Stream.next, Stream.reset, Stream.status])
def test_an_unknown_series_is_told_with_the_known_ones(engine: sa.Engine, act: object) -> None:
    store(engine, "GSPC", {date(2020, 1, 2): {"close": 1.0}}, LONG_AGO)
    store(engine, "airline", {date(2020, 1, 2): {"value": 1.0}}, LONG_AGO)

    with pytest.raises(NotFoundError, match="Known series: airline, phishing, GSPC"):
        act(Stream(engine), "SPX")  # type: ignore[operator]
