"""The ledger on a real Postgres: what is written stays, and says where every alias stands and who put it there."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.support.training.ledger import ledger_rows
from training.ledger import entries as ledger
from training.ledger.entries import CHALLENGER, CHAMPION, Move, Phase

NOW = datetime(2020, 1, 1, tzinfo=UTC)


def write(engine: sa.Engine, phase: Phase, move: Move, at: datetime = NOW) -> None:
    with engine.begin() as connection:
        ledger.write(connection, phase, move, at)


def move(alias: str = CHAMPION, begin: int | None = None, end: int | None = 1, decision: int | None = 7) -> Move:
    made = ledger.new_move("spy", alias, begin, end, who="promote", why="test")
    return made if decision is None else made.with_decision(decision, "e")


def test_a_move_is_unfinished_until_it_is_confirmed_or_given_up(engine: sa.Engine) -> None:
    first, second = move(), move(CHALLENGER, end=2)
    write(engine, "intent", first)
    write(engine, "intent", second)
    assert ledger.unfinished(engine, "spy") == [first, second]
    assert ledger.alias_states(engine, "spy") == {}

    write(engine, "confirmed", first)
    write(engine, "abandoned", second)

    assert ledger.unfinished(engine, "spy") == []
    assert {alias: state.version for alias, state in ledger.alias_states(engine, "spy").items()} == {CHAMPION: 1}


def test_tasks_do_not_see_each_others_moves(engine: sa.Engine) -> None:
    write(engine, "intent", move())

    assert ledger.unfinished(engine, "airline") == []
    assert ledger_rows(engine, "airline") == []


def test_an_alias_moved_by_hand_is_pinned_until_it_is_released(engine: sa.Engine) -> None:
    write(engine, "confirmed", move())
    write(engine, "external", move(begin=1, end=3, decision=None), NOW + timedelta(days=1))
    pinned = ledger.alias_states(engine, "spy")[CHAMPION]
    assert (pinned.version, pinned.pinned, pinned.since) == (3, True, NOW + timedelta(days=1))

    with engine.begin() as connection:
        was_pinned = ledger.release(connection, "spy", CHAMPION, who="me", why="it was a test", at=NOW)
        is_still = ledger.release(connection, "spy", CHAMPION, who="me", why="again", at=NOW)

    assert (was_pinned, is_still) == (True, False)
    released = ledger.alias_states(engine, "spy")[CHAMPION]
    assert (released.version, released.pinned) == (3, False)


def test_what_no_decision_led_to_is_told_apart(engine: sa.Engine) -> None:
    write(engine, "intent", move())
    write(engine, "confirmed", move())
    with engine.connect() as connection:
        assert ledger.last_not_by_decision(connection, "spy") == 0

    write(engine, "external", move(begin=1, end=3, decision=None))

    with engine.connect() as connection:
        assert ledger.last_not_by_decision(connection, "spy") == ledger_rows(engine, "spy")[-1].id


def test_the_history_keeps_every_row_in_order_with_its_reason(engine: sa.Engine) -> None:
    made = move()
    write(engine, "intent", made)
    write(engine, "confirmed", made, NOW + timedelta(seconds=1))

    history = ledger_rows(engine, "spy")

    assert [(entry.phase, entry.move) for entry in history] == [("intent", made), ("confirmed", made)]
    assert history[1].at - history[0].at == timedelta(seconds=1)


@pytest.mark.parametrize("statement", ["UPDATE ledger SET who = 'x'", "DELETE FROM ledger"])
def test_no_move_can_be_rewritten(engine: sa.Engine, statement: str) -> None:
    write(engine, "intent", move())

    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement))
