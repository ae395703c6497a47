"""The event log on a real Postgres: one order without a gap, ids that count once, halves that find each other."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from core.errors import DatabaseUnreachableError
from training.event_log import store as event_log
from training.event_log.events import Appended, EventConflictError, NewEvent
from training.event_log.store import LearnerKey

KEY = LearnerKey("live", "linear", "0" * 16)


def append(engine: sa.Engine, *drafts: NewEvent, log: str = "live") -> list[Appended | EventConflictError]:
    with event_log.session(engine) as connection:
        return event_log.append(connection, log, drafts).answers


def rows(n: int, begin: int = 0) -> list[NewEvent]:
    return [NewEvent("row", {"in_1": float(begin + i)}, 0.1 * (begin + i), f"e{begin + i}") for i in range(n)]


def test_what_is_appended_is_read_back_to_the_bit_and_in_order(engine: sa.Engine) -> None:
    drafts = [
        NewEvent("row", {"b": 0.1 + 0.2, "a": -1e-300}, 1 / 3, "x\t\\1", "air\nline"),
        NewEvent("row", {}, 5e-324),
        NewEvent("pause"),
    ]

    append(engine, *drafts)

    with event_log.session(engine) as connection:
        events = event_log.read(connection, KEY, 0, 10)
    assert [(e.seq, e.kind, e.features, e.target, e.series_id) for e in events] == [
        (1, "row", {"b": 0.1 + 0.2, "a": -1e-300}, 1 / 3, "air\nline"),
        (2, "row", {}, 5e-324, None),
        (3, "pause", None, None, None),
    ]
    assert list(events[0].features or ()) == ["b", "a"]


def test_a_row_sent_twice_stands_in_the_log_once(engine: sa.Engine) -> None:
    first = append(engine, *rows(3))

    again = append(engine, *rows(4))

    assert again == [
        *(Appended(a.seq, a.predicted_at, is_new=False) for a in first if isinstance(a, Appended)),
        Appended(4, 4, True),
    ]


def test_an_id_with_other_content_is_a_conflict_and_costs_the_rest_of_the_group_nothing(engine: sa.Engine) -> None:
    append(engine, *rows(1))

    other, fine = append(engine, NewEvent("row", {"in_1": 7.0}, 0.0, "e0"), NewEvent("row", {"in_1": 1.0}, 0.0, "new"))

    assert isinstance(other, EventConflictError)
    assert fine == Appended(2, 2, is_new=True)


@pytest.mark.parametrize("order", [("predict", "label"), ("label", "predict")])
def test_the_halves_of_a_row_find_each_other_in_either_order(engine: sa.Engine, order: tuple[str, str]) -> None:
    halves = {"predict": NewEvent("predict", {"in_1": 3.0}, None, "a"), "label": NewEvent("label", None, 4.0, "a")}

    append(engine, halves[order[0]])
    append(engine, NewEvent("row", {"in_1": 9.0}, 9.0))
    append(engine, halves[order[1]])

    with event_log.session(engine) as connection:
        events = event_log.read(connection, KEY, 2, 3)
    assert [(e.kind, e.features, e.target, e.ref_seq) for e in events] == [(order[1], {"in_1": 3.0}, 4.0, 1)]


def test_many_writers_at_once_leave_no_gap_and_no_double(engine: sa.Engine) -> None:
    def write(writer: int) -> None:
        for i in range(20):
            append(
                engine,
                NewEvent("row", {"w": float(writer)}, float(i)),
                NewEvent("row", {"w": -1.0}, 0.0, f"shared-{i}"),
            )

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))

    with event_log.session(engine) as connection:
        events = event_log.read(connection, KEY, 0, 10_000)
    assert [event.seq for event in events] == list(range(1, 6 * 20 + 20 + 1))
    for writer in range(6):
        assert [e.target for e in events if e.features == {"w": float(writer)}] == [float(i) for i in range(20)]


def test_logs_are_apart(engine: sa.Engine) -> None:
    append(engine, *rows(2))

    assert append(engine, *rows(1), log="spy/SPY") == [Appended(1, 1, is_new=True)]
    with event_log.session(engine) as connection:
        assert (event_log.head(connection, "live"), event_log.head(connection, "spy/SPY")) == (2, 1)


def test_a_lost_connection_is_told_as_an_unreachable_database(engine: sa.Engine) -> None:
    line = event_log.PinnedConnection(engine)
    with line.use() as connection, engine.connect() as other:
        other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": connection.info.backend_pid})

    with pytest.raises(DatabaseUnreachableError), line.use() as connection:
        event_log.append(connection, "live", rows(1))

    with line.use() as connection:
        assert event_log.append(connection, "live", rows(1)).answers == [Appended(1, 1, is_new=True)]
    line.close()
