"""What the gate remembers of a tenure: changes that are taken back leave it as it was; rejected versions stay so."""

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.registry import delete_version
from tests.support.stage import SERIES, Stage, known, month
from tests.support.training.promotions import (
    changed,
    decided,
    fitted_to,
    is_reproduced,
    newest,
    off_by,
    sessions,
    with_champion,
)
from training.ledger import manual
from training.ledger.entries import CHALLENGER, CHAMPION
from training.ledger.rollback import roll_back


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_registry, engine)


def rows(stage: Stage) -> dict[str, int]:
    return {one["challenger"]: one["rows"] for one in newest(stage).evidence["comparisons"]}


@pytest.mark.parametrize("name", ["ridge", "linear"])
def test_a_declaration_that_is_changed_and_put_back_leaves_the_tenure_as_it_was(stage: Stage, name: str) -> None:
    with_champion(stage)
    sessions(stage, 8)
    before, task = newest(stage), stage.task

    stage.task = changed(task, name)
    stage.promote()
    between = newest(stage)
    stage.task = task
    stage.promote()

    after = newest(stage)
    assert before.id < between.id < after.id
    assert after.evidence["comparisons"] == before.evidence["comparisons"]
    assert after.evidence["reign"] == between.evidence["reign"] == before.evidence["reign"]
    assert sorted(map(str, after.evidence["carried"]["pairs"])) == sorted(map(str, before.evidence["carried"]["pairs"]))
    sessions(stage, 2)
    assert rows(stage) == {"naive": 10, "linear": 10}
    is_reproduced(stage)


def test_a_declaration_that_is_put_back_after_sessions_is_held_against_all_of_them(stage: Stage) -> None:
    with_champion(stage)
    sessions(stage, 8)
    task = stage.task
    stage.task = changed(task, "ridge")
    sessions(stage, 3)
    assert newest(stage).reason == "champion_unscorable"

    stage.task = task
    sessions(stage, 2)

    assert rows(stage) == {"naive": 10, "linear": 10}
    is_reproduced(stage)


def test_a_task_that_comes_back_to_a_series_goes_on_with_the_tenure_that_it_left(stage: Stage) -> None:
    with_champion(stage)
    sessions(stage, 8)
    before = newest(stage)
    stage.versions("naive", series="another")
    with stage.engine.begin() as connection:
        stage.activate(connection, "another")
    stage.promote()
    assert newest(stage).series == "another"

    with stage.engine.begin() as connection:
        stage.activate(connection, SERIES)
    report = stage.promote()

    assert (report.is_new, report.champion) == (True, "ridge")
    assert newest(stage).evidence["comparisons"] == before.evidence["comparisons"]
    assert newest(stage).evidence["reign"] == before.evidence["reign"]
    assert stage.promote().is_new is False
    is_reproduced(stage)


def test_a_version_rejected_as_a_refresh_is_not_promoted_in_another_way(stage: Stage) -> None:
    with_champion(stage)
    good = fitted_to(stage, [100.0] * 2, 0.1)
    assert stage.promote().reason == "refresh"
    labels = [900.0] * 20 + [100.0] * 20
    near = {name: [label + 0.1 + off for label in labels] for name, off in (("ridge", 0.0), ("linear", 0.1))}
    stage.came_true(labels, naive=[label + 9 for label in labels], **near)
    worse = stage.versions("ridge", value=100.0)[0].version
    assert (stage.promote().outcome, newest(stage).reason) == ("REJECT", "harm")

    sessions(stage, 40, ridge=9.0, linear=0.5)
    assert newest(stage).champion == "linear"
    assert worse not in stage.aliases().values()
    sessions(stage, 40, ridge=0.1, linear=9.0)

    assert worse not in stage.aliases().values()
    assert worse in newest(stage).evidence["reign"]["refused"]
    assert good != worse
    is_reproduced(stage)


def test_a_version_whose_golden_batch_is_spoilt_is_rejected_once(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 2, naive=[109.0] * 2, ridge=[101.0] * 2, linear=[108.0] * 2)
    (newer,) = stage.versions("ridge")
    with stage.engine.begin() as connection:
        golden = sa.text("""UPDATE versions SET golden = jsonb_set(golden, '{expected,0}', '7.5')
                            WHERE task = :task AND version = :version""")
        connection.execute(golden, {"task": stage.task.name, "version": newer.version})

    report = stage.promote()

    assert (report.outcome, report.reason) == ("REJECT", "golden_batch")
    sessions(stage, 1)
    assert newest(stage).outcome == "HOLD"
    assert newer.version in newest(stage).evidence["reign"]["refused"]
    assert newer.version not in stage.aliases().values()
    is_reproduced(stage)


def test_the_guard_does_not_call_back_one_who_has_no_version_to_serve(stage: Stage) -> None:
    with_champion(stage)
    sessions(stage, 12, ridge=6, linear=0.5)
    assert newest(stage).reason == "succession"
    (constant,) = stage.versions("ridge", slope=0.0)
    before = stage.aliases()

    sessions(stage, 14, ridge=0.1, linear=6)

    assert "guard" not in {row.reason for row in decided(stage)}
    assert stage.aliases()[CHAMPION] == before[CHAMPION]
    assert stage.aliases().get(CHALLENGER) != constant.version
    is_reproduced(stage)


def test_sessions_that_no_run_judged_are_judged_though_another_is_champion_since(stage: Stage) -> None:
    with_champion(stage)
    for session in range(14):
        predicted = {"naive": 9.0, "ridge": 6.0, "linear": 0.5 + session / 100}
        stage.came_true([100.0], **{name: [100 + off] for name, off in predicted.items()})
    stage.versions("linear")
    delete_version(stage.settings, stage.task.name, 1)

    stage.promote()

    judged = [(row.reason, row.evidence["last"]) for row in decided(stage)]
    assert len({last for _, last in judged}) == len(judged) == 15
    assert "succession" in {reason for reason, _ in judged}
    is_reproduced(stage)


@pytest.mark.parametrize("has_champion", [True, False])
def test_nothing_is_moved_on_outdated_labels(stage: Stage, has_champion: bool) -> None:
    stage.task = stage.task.model_copy(update={"gate": stage.task.gate.model_copy(update={"max_staleness": 20})})
    if has_champion:
        with_champion(stage)
    stage.came_true([100.0] * 30, naive=off_by(9, 30, 5), ridge=off_by(6, 30, 6), linear=off_by(0.5, 30, 7))
    stage.versions("naive", "ridge", "linear")
    before, months = stage.aliases(), stage.months
    stage.months += 2  # two months in which no label came

    report = stage.promote()

    assert (report.outcome, report.reason, stage.aliases()) == ("HOLD", "stale", before)
    assert {row.reason for row in decided(stage)[1:]} <= {"stale"}
    assert months < stage.months
    is_reproduced(stage)


def test_a_decision_whose_taker_was_deleted_since_comes_out_again(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 12, naive=off_by(9, 12), ridge=off_by(6, 12, 1), linear=off_by(0.5, 12, 2))
    (gone,) = stage.versions("linear")
    delete_version(stage.settings, stage.task.name, gone.version)

    report = stage.promote()

    assert report.outcome == "HOLD"
    assert gone.version not in stage.aliases().values()
    is_reproduced(stage)


def test_looks_at_too_few_rows_for_a_ranking_come_out_again(stage: Stage) -> None:

    for n in (2, 3, 4, 8, 5):
        stage.came_true([100.0] * n, naive=off_by(9, n, 5), ridge=off_by(1, n, 6), linear=off_by(5, n, 7))
        stage.versions("naive", "ridge", "linear")
        stage.promote()

    outcomes = [row.outcome for row in decided(stage)]
    assert outcomes[0] == "HOLD"
    assert "BOOTSTRAP" in outcomes
    is_reproduced(stage)


@pytest.mark.parametrize("is_daily", [True, False])
def test_what_came_before_a_person_made_the_champion_does_not_count_whenever_the_job_runs(
    stage: Stage, is_daily: bool
) -> None:
    with_champion(stage)
    for _ in range(20):
        stage.came_true([100.0], naive=[109.0], ridge=[103.0], linear=[103.5])
        if is_daily:
            stage.promote()
    roll_back(stage.engine, stage.settings, stage.task.name, stage.clock, to=1, who="test", why="naive from today on")
    last = month(stage.months - 1).isoformat()
    if not is_daily:
        stage.came_true([100.0] * 2, naive=[109.0] * 2, ridge=[103.0] * 2, linear=[103.5] * 2)

    stage.promote()
    manual.release_pins(stage.settings, stage.task.name, stage.clock, who="test", why="enough")
    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("HOLD", "too_few_rows", "naive")
    assert newest(stage).evidence["reign"]["since"] == last
    assert set(rows(stage).values()) == {0 if is_daily else 2}
    is_reproduced(stage)


def test_rows_that_are_scored_no_more_are_drawn_no_more(stage: Stage) -> None:
    stage.task = stage.task.model_copy(update={"scored_from": 0})
    with_champion(stage)
    sessions(stage, 8)
    stage.task = stage.task.model_copy(update={"scored_from": 35})
    stage.came_true([100.0] * 5, naive=off_by(9, 5, 5), ridge=off_by(6, 5, 6), linear=off_by(5, 5, 7))

    stage.promote(log_holds=True)

    assert set(rows(stage).values()) == {8}
    is_reproduced(stage)


def test_who_stood_under_another_declaration_keeps_its_place_through_a_change_of_the_rule(stage: Stage) -> None:
    with_champion(stage)
    sessions(stage, 8)
    stage.task = changed(stage.task, "linear")
    stage.promote()
    before = {pair["challenger"] for pair in newest(stage).evidence["carried"]["pairs"] if pair["champion"] == "ridge"}
    gate = stage.task.gate

    stage.task = stage.task.model_copy(update={"gate": gate.model_copy(update={"block": 2})})
    stage.promote()

    kept = {pair["challenger"] for pair in newest(stage).evidence["carried"]["pairs"] if pair["champion"] == "ridge"}
    assert any(name.startswith("linear@") for name in before)
    assert kept == before
    is_reproduced(stage)


def test_as_of_an_instant_before_the_last_decision_nothing_is_decided(stage: Stage) -> None:
    with_champion(stage)
    sessions(stage, 8)
    before, aliases = len(decided(stage)), stage.aliases()
    stage.versions("linear")
    roll_back(stage.engine, stage.settings, stage.task.name, stage.clock, to=1, who="test", why="naive")
    before, aliases = before + 1, stage.aliases()
    stage.months -= 3

    report = stage.promote()

    assert not report.is_new
    assert report.sentence().startswith(
        f"nothing to do: decision {newest(stage).id} was made as of {known(stage.months + 3):%Y-%m}"
    )
    assert "contender replay" in report.sentence()
    stage.months += 3
    assert (len(decided(stage)), stage.aliases()) == (before, aliases)
    assert stage.promote().is_new
