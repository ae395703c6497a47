"""What watches over a move: the holdout refit of a newer version before it, the previous champion after it."""

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.stage import Stage
from tests.support.training.ledger import ledger_rows
from tests.support.training.promotions import decided, fitted_to, off_by, with_champion
from training.ledger.entries import CHALLENGER, CHAMPION


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_registry, engine)


def test_a_newer_version_whose_holdout_refit_does_worse_than_the_one_that_serves_is_rejected_once(stage: Stage) -> None:
    with_champion(stage)
    good = fitted_to(stage, [100.0] * 2, 0.1)
    assert stage.promote().reason == "refresh"
    assert stage.aliases()[CHAMPION] == good

    fitted_to(stage, [900.0] * 20 + [100.0] * 20, 0.1)
    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("REJECT", "harm", "ridge")
    assert stage.aliases()[CHAMPION] == good
    assert decided(stage)[-1].evidence["given"]["harm"] >= 20
    stage.came_true([100.0], naive=[109.0], ridge=[100.1], linear=[108.0])
    assert stage.promote().outcome == "HOLD"


def test_after_a_succession_the_previous_champion_returns_when_it_proves_better(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 12, naive=off_by(9, 12), ridge=off_by(6, 12, 1), linear=off_by(0.5, 12, 2))
    stage.versions("ridge", "linear")
    assert stage.promote().reason == "succession"

    stage.came_true([100.0] * 11, naive=off_by(9, 11), ridge=off_by(0.1, 11, 1), linear=off_by(6, 11, 2))
    report = stage.promote()

    assert (report.outcome, report.champion, report.challenger) == ("HOLD", "ridge", "linear")
    assert [row.reason for row in decided(stage) if row.outcome == "PROMOTE"] == ["succession", "guard"]
    moved = [entry.move for entry in ledger_rows(stage.engine, stage.task.name) if entry.phase == "confirmed"]
    assert [(move.alias, move.who) for move in moved[-2:]] == [(CHAMPION, "guard"), (CHALLENGER, "promote")]
    assert stage.promote().is_new is False
    stage.came_true([100.0], naive=[109.0], ridge=[100.1], linear=[106.0])
    assert (stage.promote().outcome, stage.promote().champion) == ("HOLD", "ridge")


def test_after_a_refresh_the_version_before_returns_when_it_does_better_and_the_newer_one_does_not(
    stage: Stage,
) -> None:
    with_champion(stage, value=100.0)
    steady = stage.aliases()[CHAMPION]
    fitted_to(stage, [100.0] * 2, 0.1)
    assert stage.promote().reason == "refresh"
    stage.came_true([100.0] * 2, naive=[109.0] * 2, ridge=[100.1] * 2, linear=[108.0] * 2)
    assert stage.promote().outcome == "HOLD"

    stage.came_true([100.0] * 20, naive=off_by(9, 20), ridge=off_by(6, 20, 1), linear=off_by(8, 20, 2))
    report = stage.promote()

    assert (report.outcome, report.champion) == ("HOLD", "ridge")
    assert [row.reason for row in decided(stage) if row.outcome == "PROMOTE"] == ["refresh", "guard"]
    assert stage.aliases()[CHAMPION] == steady
    stage.came_true([100.0], naive=[109.0], ridge=[106.0], linear=[108.0])
    assert stage.promote().outcome == "HOLD"
    assert stage.aliases()[CHAMPION] == steady


def test_when_the_probation_is_over_the_previous_champion_does_not_return_without_the_evidence_of_a_challenger(
    stage: Stage,
) -> None:
    stage.task = stage.task.model_copy(update={"gate": stage.task.gate.model_copy(update={"probation": 3})})
    with_champion(stage)
    stage.came_true([100.0] * 12, naive=off_by(9, 12), ridge=off_by(6, 12, 1), linear=off_by(0.5, 12, 2))
    stage.versions("ridge", "linear")
    stage.promote()

    stage.came_true([100.0] * 11, naive=off_by(9, 11), ridge=off_by(0.1, 11, 1), linear=off_by(6, 11, 2))

    assert (stage.promote().outcome, stage.promote().reason) == ("HOLD", "too_few_rows")
    assert decided(stage)[-1].evidence["reign"]["before"] is None
