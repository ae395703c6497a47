"""A previous champion that was deleted, changed or failed validation since: nothing stops the job or is forgotten."""

import pytest
import sqlalchemy as sa

import features.job
from core.config.settings import Settings
from tests.support.registry import delete_version
from tests.support.stage import Stage, wave
from tests.support.training.promotions import (
    changed,
    decided,
    fitted_to,
    is_reproduced,
    newest,
    sessions,
    with_champion,
)
from training.evaluation.e_values import shared
from training.ledger import manual
from training.ledger.entries import CHAMPION


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_registry, engine)


def release(stage: Stage) -> None:
    manual.release_pins(stage.settings, stage.task.name, stage.clock, who="test", why="enough")


def overtaken(stage: Stage) -> Stage:
    """A stage on which linear has replaced ridge as champion, which goes on predicting."""
    with_champion(stage)
    sessions(stage, 12, ridge=6, linear=0.5)
    stage.versions("ridge", "linear")
    assert newest(stage).reason == "succession"
    sessions(stage, 2)
    assert newest(stage).evidence["reign"]["before"]
    return stage


def test_a_version_that_the_guard_wants_back_and_mlflow_has_no_more_ends_its_probation(stage: Stage) -> None:
    with_champion(stage, value=100.0)
    steady = stage.aliases()[CHAMPION]
    newer = fitted_to(stage, [100.0] * 2, 0.1)
    assert stage.promote().reason == "refresh"
    delete_version(stage.settings, stage.task.name, steady)

    sessions(stage, 20, ridge=6, linear=8)

    assert "guard" not in {row.reason for row in decided(stage)}
    assert newest(stage).evidence["reign"]["before"] is None
    assert stage.aliases()[CHAMPION] == newer
    is_reproduced(stage)


def test_a_version_whose_files_were_never_kept_and_that_is_deleted_does_not_stop_the_job(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0], naive=[109.0], ridge=[101.0], linear=[108.0])
    (by_hand,) = stage.versions("ridge", value=100.0)
    stage.move_by_hand(CHAMPION, by_hand.version)
    stage.promote()
    release(stage)
    stage.came_true([100.0], naive=[109.0], ridge=[101.0], linear=[108.0])
    stage.versions("ridge", value=100.0)
    delete = stage.engine.connect()
    with delete.begin():
        delete.execute(sa.text("DELETE FROM bundles WHERE digest = :digest"), {"digest": by_hand.artifact_digest})
    delete.close()
    assert stage.promote().reason == "refresh"
    delete_version(stage.settings, stage.task.name, by_hand.version)

    sessions(stage, 1)

    assert newest(stage).outcome == "HOLD"
    is_reproduced(stage)


@pytest.mark.parametrize("features_left", [2, 3])
def test_a_version_on_probation_is_not_asked_about_other_features_than_its_own(
    stage: Stage, features_left: int
) -> None:
    values = wave(50)
    for begin, end in ((0, 40), (40, 46), (46, 48)):
        stage.put(values[begin:end])
        stage.train()
        stage.promote()
    assert newest(stage).evidence["given"]["fixed"]
    task = stage.task
    fewer, more = task.features[:2], (*task.features, task.features[0].model_copy(update={"parameters": {"n": 4}}))

    stage.task = task.model_copy(update={"features": fewer if features_left == 2 else more})
    features.job.run(stage.settings, stage.task, stage.clock)
    stage.train()
    report = stage.promote()

    assert (report.outcome, report.reason) == ("HOLD", "champion_unscorable")
    is_reproduced(stage)


def test_a_probation_goes_on_when_a_declaration_is_put_back(stage: Stage) -> None:
    overtaken(stage)
    before, task = newest(stage).evidence["reign"], stage.task

    stage.task = changed(task, "ridge")
    stage.promote()
    stage.task = task
    stage.promote()

    assert newest(stage).evidence["reign"] == before
    sessions(stage, 11, ridge=0.1, linear=6)
    assert "guard" in {row.reason for row in decided(stage)}
    is_reproduced(stage)


def test_a_probation_goes_on_after_a_version_of_the_previous_champion_that_failed_validation(stage: Stage) -> None:
    overtaken(stage)
    before = newest(stage).evidence["reign"]

    stage.versions("ridge", slope=0.0)
    sessions(stage, 1)
    assert newest(stage).evidence["given"]["probation"] is None
    stage.versions("ridge")
    sessions(stage, 1)

    assert newest(stage).evidence["reign"] == before
    assert newest(stage).evidence["given"]["probation"]


def test_one_on_probation_is_no_challenger_and_takes_no_share_of_alpha(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 2, naive=[109.0] * 2, ridge=[101.0] * 2, linear=[108.0] * 2)
    stage.versions("ridge", value=100.0)
    stage.promote()
    for version in (1, 2):
        stage.move_by_hand(CHAMPION, version)
        stage.promote()
    release(stage)
    assert stage.promote().reason == "refresh"

    sessions(stage, 6, ridge=6.0, linear=1.0)

    evidence = newest(stage).evidence
    assert evidence["reign"]["moved"] == evidence["reign"]["since"]
    own = {one["challenger"]: one["e_value"] for one in evidence["comparisons"]}
    assert {one["challenger"]: one["shared"] for one in evidence["comparisons"]} == pytest.approx(shared(own))
