"""Uses and refusals of tokens are in the audit log, and no flood of them fills it."""

from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from contender.servers.processes import Postgres
from core.auth import audit
from core.auth.access_counter import MAX_KINDS, OTHERS, PERIOD_SECONDS, AccessCounter, AccessEvent
from core.auth.tokens import Role
from core.db.engine import connect, migrate
from core.errors import UnreachableError
from tests.support.serving.guarded import bearer, guarded, token
from tests.support.waiting import wait_for

HOUR = PERIOD_SECONDS["allowed"]


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def wrong(address: str, outcome: str = "refused") -> AccessEvent:
    return AccessEvent("(unknown)", "training", outcome, "unknown", address)


def counted(engine: sa.Engine) -> list[int]:
    """The counts in the log, oldest first, without what tells of making tokens."""
    return [entry.detail["count"] for entry in reversed(audit.newest(engine)) if "count" in entry.detail]


def test_every_use_and_refusal_is_told_with_who_what_and_from_where(engine: sa.Engine) -> None:
    service = guarded(engine, host="0.0.0.0")
    trainer, admin = token(engine, "ci"), token(engine, "anna", Role.ADMIN)
    for headers in (bearer(trainer), bearer(admin), bearer("ct_wrong"), {}):
        service.client.get("/management/audit", headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.7"})
    service.client.post("/train", json={"target": 1}, headers=bearer(trainer))
    service.client.get("/series", headers=bearer(trainer))

    service.access.stop()

    entries = [entry for entry in audit.newest(engine) if "count" in entry.detail]
    assert {(e.who, e.action, e.outcome, e.detail.get("reason"), e.detail["address"]) for e in entries} == {
        ("ci", "management", "refused", "role", "10.0.0.7"),
        ("anna", "management", "allowed", None, "10.0.0.7"),
        ("(unknown)", "management", "refused", "unknown", "10.0.0.7"),
        ("(unknown)", "management", "refused", "missing", "10.0.0.7"),
        ("ci", "training", "allowed", None, "127.0.0.1"),
    }
    assert "ct_" not in repr(entries)


def test_a_flood_from_one_address_is_a_row_a_minute(engine: sa.Engine) -> None:
    clock = Hand()
    tally = AccessCounter(engine, monotonic=clock)
    for second in range(180):
        clock.now = float(second)
        for _ in range(100):
            tally.count(wrong("10.0.0.7"), "'/train'")
        tally.write()

    tally.write(everything=True)

    assert counted(engine) == [100, 6000, 6000, 5900]


def test_a_flood_from_everywhere_is_bounded_and_counted_in_full(engine: sa.Engine) -> None:
    clock = Hand()
    tally = AccessCounter(engine, monotonic=clock)
    tally.count(wrong("10.9.9.9", "allowed"), "'/train'")

    for number in range(5000):
        tally.count(wrong(f"10.0.{number // 250}.{number % 250}"), "'/train'")
    rows = tally.write()

    assert rows == 1 + MAX_KINDS + 1
    assert sum(counted(engine)) == 5001
    others = [entry for entry in audit.newest(engine) if entry.detail["address"] == OTHERS]
    assert [entry.detail["count"] for entry in others] == [5000 - MAX_KINDS]

    clock.now += HOUR
    assert tally.write() == 0
    tally.count(wrong("10.1.0.1"), "'/train'")  # the places of those that stopped are free again
    tally.write()
    assert audit.newest(engine)[0].detail["address"] == "10.1.0.1"


def test_addresses_of_one_ipv6_network_are_one_sender(engine: sa.Engine) -> None:
    service = guarded(engine, host="0.0.0.0")
    for address in ("2001:db8::1", "2001:db8::2", "::ffff:10.0.0.7", "10.0.0.7", ""):
        service.client.get("/next", environ_base={"REMOTE_ADDR": address})

    service.access.stop()

    entries = audit.newest(engine)
    assert {entry.detail["address"]: entry.detail["count"] for entry in entries} == {
        "2001:db8::/64": 2,
        "10.0.0.7": 2,
        "(unknown)": 1,
    }


def test_paths_that_postgres_cannot_keep_are_told_all_the_same(engine: sa.Engine) -> None:
    service = guarded(engine)
    service.client.get("/management/%00%ed%a0%80" + "x" * 500)

    service.access.stop()

    [entry] = audit.newest(engine)
    assert entry.detail["path"].startswith(r"'/management/\x00")
    assert len(entry.detail["path"]) < 100


def test_the_thread_tells_the_first_within_a_second_or_two(engine: sa.Engine) -> None:
    service = guarded(engine)
    service.access.start()
    try:
        for _ in range(3):
            service.client.get("/management/audit")
        wait_for(lambda: counted(engine))
    finally:
        service.access.stop()

    assert sum(counted(engine)) == 3
    assert Counter(entry.outcome for entry in audit.newest(engine))["refused"] <= 2


@pytest.mark.slow
def test_counts_wait_while_the_database_is_away(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres" / "data")
    engine = connect(server.database("contender"))
    migrate(engine)
    tally = AccessCounter(engine)
    server.stop()
    try:
        for _ in range(7):
            tally.count(wrong("10.0.0.7"), "'/train'")
        with pytest.raises(UnreachableError):
            tally.write()

        server.start()
        tally.count(wrong("10.0.0.7"), "'/train'")
        tally.stop()

        assert counted(engine) == [8]
    finally:
        engine.dispose()
        server.stop()
