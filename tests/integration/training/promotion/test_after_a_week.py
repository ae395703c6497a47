"""Work comes from the watermark: one run after a week without any decides what seven daily runs would have decided."""

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.stage import Stage, a_task
from tests.support.training.ledger import ledger_rows
from tests.support.training.promotions import decided, off_by, with_champion
from training.registry import versions

SESSIONS = 30
GOOD = 13
"""Nights on which linear is the better one."""


@pytest.fixture
def stages(settings_with_registry: Settings, engine: sa.Engine) -> tuple[Stage, Stage]:
    return tuple(with_champion(Stage(settings_with_registry, engine, a_task())) for _ in range(2))  # type: ignore[return-value]


def live(stage: Stage, begin: int, end: int, *, every: int) -> None:
    """Nights on which ridge is poor and linear good, then the other way round; the job runs every so many of them."""
    predicted = {
        "naive": off_by(9, SESSIONS, 5),
        "ridge": [*off_by(6, GOOD, 1), *off_by(0.1, SESSIONS - GOOD, 1)],
        "linear": [*off_by(0.5, GOOD, 2), *off_by(6, SESSIONS - GOOD, 2)],
    }
    for session in range(begin, end):
        stage.came_true([100.0], **{name: values[session : session + 1] for name, values in predicted.items()})
        if (session + 1) % every == 0:
            stage.promote()


def seen(stage: Stage) -> list[tuple[object, ...]]:
    return [
        (row.outcome, row.reason, row.champion, row.challenger, row.evidence["comparisons"]) for row in decided(stage)
    ]


def moved(stage: Stage) -> list[tuple[object, ...]]:
    every = versions.numbered(stage.engine, stage.task.name, range(1, 9))
    moves = [entry.move for entry in ledger_rows(stage.engine, stage.task.name) if entry.phase == "confirmed"]
    return [(move.alias, move.to_version and every[move.to_version].contender, move.who, move.why) for move in moves]


def test_one_run_after_a_week_decides_and_moves_what_seven_would_have(stages: tuple[Stage, Stage]) -> None:
    daily, weekly = stages

    live(daily, 0, SESSIONS, every=1)
    live(weekly, 0, SESSIONS, every=6)

    assert [row[:2] for row in seen(daily) if row[0] != "HOLD"] == [
        ("BOOTSTRAP", "best_backtest"), ("PROMOTE", "succession"), ("PROMOTE", "guard"),
    ]  # fmt: skip
    assert len(seen(daily)) == 1 + SESSIONS
    assert seen(weekly) == seen(daily)
    assert moved(weekly) == moved(daily)
    last, other = (decided(stage)[-1].evidence["carried"] for stage in stages)
    assert (last["pairs"], last["ranking"]) == (other["pairs"], other["ranking"])
    assert decided(daily)[-1].evidence["reign"] == decided(weekly)[-1].evidence["reign"]
