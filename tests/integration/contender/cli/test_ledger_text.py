"""`contender rollback` and `unpin` with words that the ledger cannot keep."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.stage import Stage
from tests.support.terminal import Terminal, declared
from tests.support.training.promotions import phases, with_champion
from training.ledger.entries import CHAMPION


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> Stage:
    return declared(settings_with_registry, engine, tmp_path / "tasks")


@pytest.mark.parametrize(
    "words", [("--why", "\udcff"), ("--why", "t", "--who", "\udcff"), ("--why", "a\x00b")], ids=["why", "who", "nul"]
)
def test_a_reason_or_a_name_that_is_no_utf_8_is_refused_and_nothing_is_moved(
    stage: Stage, contender: Terminal, words: Sequence[str]
) -> None:
    with_champion(stage)
    ridge = stage.aliases()[CHAMPION]
    stage.move_by_hand(CHAMPION, min({1, 2, 3} - {ridge}))
    stage.promote()
    before = stage.aliases(), phases(stage)

    back = contender("rollback", stage.task.name, "--to", str(ridge), *words)
    released = contender("unpin", stage.task.name, *words)

    assert (back[0], released[0]) == (42, 42)
    assert back[1].startswith("The reason " if "--who" not in words else "The name ")
    assert "no text in UTF-8" in released[1]
    assert (stage.aliases(), phases(stage)) == before
