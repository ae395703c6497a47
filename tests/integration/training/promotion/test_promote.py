"""The promote job on a real Postgres and a real MLflow, with contenders whose merits are known."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

from core.config.settings import Settings, child_environment
from core.config.tasks import digest
from core.errors import NotFoundError
from tests.support.registry import delete_version
from tests.support.stage import SERIES, Stage
from tests.support.training.promotions import FLAT, decided, off_by, phases, with_champion
from training.ledger.entries import CHALLENGER, CHAMPION
from training.registry import versions
from training.registry.flavor import folder_digest, unpack


@pytest.fixture
def stage(settings_with_registry: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_registry, engine)


def test_the_best_backtest_has_champion_first_and_the_next_challenges(stage: Stage) -> None:
    stage.came_true(FLAT, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    naive, ridge, linear = stage.versions("naive", "ridge", "linear")

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion, report.challenger) == (
        "BOOTSTRAP",
        "best_backtest",
        "ridge",
        "linear",
    )
    assert stage.aliases() == {CHAMPION: ridge.version, CHALLENGER: linear.version}
    assert phases(stage) == [
        ("intent", CHAMPION, None, ridge.version),
        ("intent", CHALLENGER, None, linear.version),
        ("confirmed", CHAMPION, None, ridge.version),
        ("confirmed", CHALLENGER, None, linear.version),
    ]
    number = decided(stage)[0].id
    assert report.sentence().startswith(f"decision {number}: BOOTSTRAP (best_backtest): champion ridge (mae 0.9")
    assert f"; champion: none → ridge v{ridge.version} (BOOTSTRAP best_backtest)" in report.sentence()
    assert versions.bundle(stage.engine, naive.artifact_digest) is None


def test_the_decision_says_what_it_is_based_on(stage: Stage) -> None:
    with_champion(stage)

    (row,) = decided(stage)

    assert (row.outcome, row.champion, row.challenger, row.series) == ("BOOTSTRAP", "ridge", "linear", SERIES)
    assert row.evidence_hash == digest(row.evidence)
    assert row.evidence["rows"] == 30
    assert (row.evidence["first"], row.evidence["last"]) == ("2000-01-01", "2002-06-01")
    assert row.evidence["mean_loss"]["ridge"] < row.evidence["mean_loss"]["linear"]
    assert row.evidence["beats_baseline"] == {"naive": "no", "ridge": "yes", "linear": "yes"}
    named = {"contender", "version", "trained_through", "data_hash", "artifact_digest"}
    assert set(row.evidence["versions"]["ridge"]) == named
    assert row.evidence["reign"]["since"] == "2002-06-01"


def test_a_version_that_takes_an_alias_is_kept_in_postgres_to_the_byte(stage: Stage, tmp_path: object) -> None:
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    _, ridge, _ = stage.versions("naive", "ridge", "linear")

    stage.promote()

    content = versions.bundle(stage.engine, ridge.artifact_digest)
    assert content is not None
    folder = unpack(content, stage.settings.home / "unpacked")
    assert folder_digest(folder) == ridge.artifact_digest


def test_a_second_run_finds_nothing_to_do(stage: Stage) -> None:
    with_champion(stage)
    before = phases(stage)

    report = stage.promote()

    assert not report.is_new
    assert report.sentence() == f"nothing to do: decision {decided(stage)[0].id}, BOOTSTRAP (best_backtest), is current"
    assert phases(stage) == before
    assert len(decided(stage)) == 1


def test_rows_that_chose_the_champion_are_no_evidence_and_too_few_new_ones_hold(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 5, naive=off_by(5, 5), ridge=off_by(9, 5), linear=off_by(0.1, 5))

    report = stage.promote()

    assert (report.outcome, report.reason) == ("HOLD", "too_few_rows")
    evidence = decided(stage)[-1].evidence
    assert {one["rows"] for one in evidence["comparisons"]} == {5}
    assert evidence["reign"]["since"] == "2002-06-01"


def test_a_newer_version_of_the_champion_is_a_refresh_and_the_challenger_follows_its_newest(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 2, naive=off_by(5, 2), ridge=off_by(1, 2), linear=off_by(2, 2))
    ridge, linear = stage.versions("ridge", "linear")

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("PROMOTE", "refresh", "ridge")
    assert stage.aliases() == {CHAMPION: ridge.version, CHALLENGER: linear.version}
    assert stage.promote().is_new is False


def test_a_version_that_cannot_be_served_is_rejected(stage: Stage) -> None:
    with_champion(stage)
    champion = stage.aliases()[CHAMPION]
    stage.came_true([100.0], naive=[105.0], ridge=[101.0], linear=[102.0])
    stage.versions("ridge", value=float("nan"))

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("REJECT", "not_finite", "ridge")
    assert stage.aliases()[CHAMPION] == champion


def test_a_challenger_that_is_truly_better_becomes_champion(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 12, naive=off_by(5, 12), ridge=off_by(6, 12, 1), linear=off_by(0.5, 12, 2))
    ridge, linear = stage.versions("ridge", "linear")

    report = stage.promote()

    assert (report.outcome, report.reason) == ("PROMOTE", "succession")
    assert (report.champion, report.challenger) == ("linear", "ridge")
    assert stage.aliases() == {CHAMPION: linear.version, CHALLENGER: ridge.version}
    evidence = decided(stage)[-1].evidence
    assert (evidence["reign"]["since"], evidence["reign"]["before"]) == ("2003-06-01", 2)
    assert evidence["comparisons"][0]["challenger"] == "linear"
    assert evidence["comparisons"][0]["shared"] >= 1 / 0.05


def test_after_a_first_look_at_too_few_rows_the_best_has_champion_as_soon_as_there_are_enough(stage: Stage) -> None:
    stage.came_true([100.0] * 5, naive=off_by(5, 5), ridge=off_by(1, 5), linear=off_by(2, 5))
    _, ridge, _ = stage.versions("naive", "ridge", "linear")
    assert stage.promote().reason == "too_few_rows"

    stage.came_true([100.0] * 8, naive=off_by(5, 8), ridge=off_by(1, 8), linear=off_by(2, 8))

    assert stage.promote().champion == "ridge"
    assert stage.aliases()[CHAMPION] == ridge.version
    assert [row.outcome for row in decided(stage)].count("BOOTSTRAP") == 1


def test_a_version_that_was_deleted_in_mlflow_takes_no_alias_and_stops_nothing(stage: Stage) -> None:
    with_champion(stage)
    before = stage.aliases()
    stage.came_true([100.0] * 2, naive=[109.0] * 2, ridge=[101.0] * 2, linear=[102.0] * 2)
    (newer,) = stage.versions("linear")
    delete_version(stage.settings, stage.task.name, newer.version)

    report = stage.promote()

    assert (report.outcome, report.challenger) == ("HOLD", "linear")
    assert stage.aliases() == before
    assert phases(stage)[-1][0] == "confirmed"


def test_a_forecast_that_explodes_counts_as_none(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 2, naive=[109.0] * 2, ridge=[101.0] * 2, linear=[1.5e308, -1.5e308])

    report = stage.promote()

    assert (report.outcome, report.champion) == ("HOLD", "ridge")
    rows = {one["challenger"]: one["rows"] for one in decided(stage)[-1].evidence["comparisons"]}
    assert rows == {"naive": 2, "linear": 0}


def test_equal_predictions_hold_as_identical(stage: Stage) -> None:
    with_champion(stage)
    same = off_by(1, 20)
    stage.came_true([100.0] * 20, ridge=same, linear=same)

    report = stage.promote()

    assert (report.outcome, report.reason) == ("HOLD", "identical")


def test_another_series_is_a_new_bootstrap(stage: Stage) -> None:
    with_champion(stage)
    before = stage.aliases()
    with stage.engine.begin() as connection:
        stage.activate(connection, "another")
        statement = "INSERT INTO {0} SELECT {1} FROM {0} WHERE series = 'stage'"
        for table, columns in (
            ("outcomes", "'another', target_kind, target_date, known_at, label"),
            (
                "contender_predictions",
                "task, 'another', contender, contender_hash, target_date, event_date, trained_through, value, made_at",
            ),
        ):
            connection.execute(sa.text(statement.format(table, columns)))
    naive, linear = stage.versions("naive", "linear", series="another")

    report = stage.promote()

    assert (report.outcome, report.champion, report.challenger) == ("BOOTSTRAP", "linear", "naive")
    assert stage.aliases() == {CHAMPION: linear.version, CHALLENGER: naive.version} != before


def test_a_champion_whose_declaration_changed_is_unscorable_and_holds(stage: Stage) -> None:
    with_champion(stage)
    changed = stage.task.contenders["ridge"].model_copy(update={"refit_every": 3})
    stage.task = stage.task.model_copy(update={"contenders": {**stage.task.contenders, "ridge": changed}})

    report = stage.promote()

    assert (report.outcome, report.reason) == ("HOLD", "champion_unscorable")


def test_before_training_there_is_nothing_to_promote(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="no model version"):
        stage.promote()


def test_the_command_says_in_one_line_and_by_its_exit_code_what_happened(stage: Stage) -> None:
    environment = child_environment(stage.settings)

    done = subprocess.run(
        [sys.executable, "-m", "training.promote", "--task", "airline"], env=environment, capture_output=True, text=True
    )

    assert done.returncode == 42, done.stderr
    assert "Run the training job first" in done.stderr
