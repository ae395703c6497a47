"""Every decision can be made again: on a real Postgres and a real MLflow, from the command line as a user would."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.db.pipeline_tables import contender_predictions, decisions, runs
from tests.support.stage import Stage, month
from tests.support.terminal import Terminal, declared
from tests.support.training.decision_runs import logged, mlflow_client
from tests.support.training.promotions import decided, off_by, with_champion
from training.reports.reproduce import again


@pytest.fixture
def stage(settings_with_mlflow: Settings, engine: sa.Engine, tmp_path: Path) -> Stage:
    return declared(settings_with_mlflow, engine, tmp_path / "tasks")


@pytest.fixture
def client(settings_with_mlflow: Settings) -> Any:
    return mlflow_client(settings_with_mlflow)


def a_life(stage: Stage) -> None:
    """Crowned; a refresh; looks while the version before goes on; a succession, and looks on probation after it."""
    with_champion(stage)
    stage.came_true([100.0] * 5, naive=off_by(5, 5), ridge=off_by(3, 5, 7), linear=off_by(2, 5, 8))
    stage.promote(log_holds=True)
    stage.came_true([100.0] * 2, naive=off_by(5, 2), ridge=off_by(3, 2, 5), linear=off_by(2, 2, 6))
    stage.versions("ridge")
    stage.promote(log_holds=True)
    stage.came_true([100.0] * 3, naive=off_by(5, 3), ridge=off_by(3, 3, 5), linear=off_by(2, 3, 6))
    stage.promote(log_holds=True)
    stage.came_true([100.0] * 14, naive=off_by(5, 14), ridge=off_by(6, 14, 1), linear=off_by(1, 14, 2))
    stage.promote(log_holds=True)
    stage.came_true([100.0] * 3, naive=off_by(5, 3), ridge=[None] * 3, linear=off_by(2, 3, 6))
    stage.promote(log_holds=True)


def test_what_was_logged_comes_out_again_to_the_byte_whatever_was_decided(
    stage: Stage, contender: Terminal, client: Any, tmp_path: Path
) -> None:
    a_life(stage)
    rows = decided(stage)
    of_each = {(row.outcome, row.reason): row for row in rows}
    assert {("BOOTSTRAP", "best_backtest"), ("PROMOTE", "refresh"), ("PROMOTE", "succession")} <= of_each.keys()
    assert {("HOLD", "too_few_rows"), ("HOLD", "not_enough_evidence")} <= of_each.keys()
    of_decisions = logged(client, stage)
    assert sorted(of_decisions, key=int) == [str(row.id) for row in rows]
    for row in rows:
        made = again(stage.engine, row.id)
        assert (made.differences, made.is_logged) == ((), True)

    for row in of_each.values():
        folder = tmp_path / str(row.id)
        code, told = contender("decision", "replay", str(row.id), "--out", str(folder))

        assert (code, told.splitlines()[-1]) == (
            0,
            f"Decision {row.id} of {stage.task.name}: the same to the byte, evidence {row.evidence_hash}.",
        )
        kept = Path(client.download_artifacts(of_decisions[str(row.id)].info.run_id, "", str(tmp_path / f"m{row.id}")))
        assert {file.name for file in kept.iterdir()} == {"decision.json", "report.html"}
        for file in kept.iterdir():
            assert (folder / file.name).read_bytes() == file.read_bytes()


def test_a_row_that_was_changed_is_noticed_and_named(stage: Stage, contender: Terminal, tmp_path: Path) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 6, naive=off_by(5, 6), ridge=off_by(3, 6, 7), linear=off_by(3, 6, 8))
    stage.promote(log_holds=True)
    first, *_, second = (row.id for row in decided(stage))
    change(stage, "linear", stage.months - 1, 100.0)

    code, told = contender("decision", "replay", str(second), "--out", str(tmp_path / "again"), columns=300)

    assert code == 43
    assert "differs  evidence.comparisons[linear].challenger_loss: " in told
    assert "ridge].challenger_loss" not in told
    assert f"Decision {second} of '{stage.task.name}' does not come out as it was stored." in told
    kept = {line for line in again(stage.engine, second).differences if line.startswith("the rows of ")}
    assert [line.split(":")[0] for line in kept] == ["the rows of linear against ridge"]
    assert (tmp_path / "again" / "report.html").exists()
    assert contender("decision", "replay", str(first))[0] == 0


def test_a_changed_row_that_an_earlier_decision_counted_is_noticed_by_the_report(stage: Stage) -> None:
    with_champion(stage)
    for _ in range(2):
        stage.came_true([100.0] * 5, naive=off_by(5, 5), ridge=off_by(3, 5, 7), linear=off_by(3, 5, 8))
        stage.promote(log_holds=True)
    last = decided(stage)[-1].id
    assert again(stage.engine, last).differences == ()
    change(stage, "naive", stage.months - 8, 100.0)

    told = again(stage.engine, last).differences

    assert [line.split(":")[0] for line in told] == ["the rows of naive against ridge", "report.html, as it was logged"]


def test_a_decision_that_was_changed_itself_is_noticed(stage: Stage) -> None:
    with_champion(stage)
    (row,) = decided(stage)
    with stage.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE decisions DISABLE TRIGGER decisions_append_only"))
        forged = {**row.evidence, "mean_loss": {**row.evidence["mean_loss"], "linear": 0.5}}
        connection.execute(sa.update(decisions).where(decisions.c.id == row.id).values(evidence=forged))

    told = again(stage.engine, row.id).differences

    assert told[0].startswith(f"evidence_hash, as it was written down: {row.evidence_hash} → ")
    (mean,) = (line for line in told if line.startswith("evidence.mean_loss"))
    assert mean.startswith("evidence.mean_loss.linear: 0.5 → ")


def test_a_report_of_an_earlier_release_is_compared_by_its_numbers(stage: Stage, contender: Terminal) -> None:
    with_champion(stage)
    (row,) = decided(stage)
    relog(stage, {"report.html": "0" * 64})
    assert contender("decision", "replay", str(row.id))[0] == 43

    relog(stage, {"report.html": "0" * 64}, drawn_by="matplotlib 3.0, code 00000000")
    code, told = contender("decision", "replay", str(row.id), columns=300)

    assert code == 0
    assert f"the same to the byte, evidence {row.evidence_hash}." in told
    assert "drawn by an earlier release (matplotlib 3.0, code 00000000)" in told
    relog(stage, {"report.html": "0" * 64, "decision.json": "1" * 64}, drawn_by="matplotlib 3.0, code 00000000")
    assert contender("decision", "replay", str(row.id))[0] == 43


def relog(stage: Stage, files: dict[str, str], **changes: str) -> None:
    """Store other hashes of the files that were logged."""
    with stage.engine.begin() as connection:
        logged = connection.execute(sa.select(runs.c.report).where(runs.c.step == "decision")).scalar_one()
        changed = {**logged, "files": {**logged["files"], **files}, **changes}
        connection.execute(sa.update(runs).where(runs.c.step == "decision").values(report=changed))


def test_labels_restated_later_change_no_decision_of_before(stage: Stage) -> None:
    with_champion(stage)
    stage.came_true([100.0] * 6, naive=off_by(5, 6), ridge=off_by(3, 6, 7), linear=off_by(3, 6, 8))
    stage.promote(log_holds=True)
    last = decided(stage)[-1].id
    day = stage.clock.now()
    stage.months += 1
    with stage.engine.begin() as connection:
        statement = sa.text(
            "INSERT INTO outcomes SELECT series, target_kind, target_date, :at, label + 5 FROM outcomes"
        )
        connection.execute(statement, {"at": stage.clock.now()})
    assert stage.clock.now() > day

    assert again(stage.engine, last).differences == ()


def test_a_version_that_comes_back_on_probation_is_told_and_made_again(stage: Stage, contender: Terminal) -> None:
    stage.came_true([100.0] * 30, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    stage.versions("naive", "ridge", "linear", value=100)
    stage.promote(log_holds=True)
    stage.came_true([100.0] * 2, naive=off_by(9, 2), ridge=off_by(1, 2), linear=off_by(9, 2))
    stage.versions("ridge", value=100)
    assert stage.promote(log_holds=True).reason == "refresh"
    for count in (3, 12):
        stage.came_true([100.0] * count, naive=off_by(30, count), ridge=off_by(6, count), linear=off_by(30, count))
        stage.promote(log_holds=True)
    (back,) = (row for row in decided(stage) if row.reason == "guard")
    assert (back.outcome, back.champion) == ("PROMOTE", "ridge")

    for row in decided(stage):
        made = again(stage.engine, row.id)
        assert made.is_logged
        assert made.differences == ()

    page = again(stage.engine, back.id).files["report.html"].decode()
    assert "ridge@v2, the previous champion, is champion again" in page
    assert "ridge@v2, the previous champion, goes on predicting for 63 rows." in page


def change(stage: Stage, name: str, at: int, value: float) -> None:
    """What a person with access to the database could do."""
    columns = contender_predictions.c
    statement = sa.update(contender_predictions).where(
        columns.task == stage.task.name, columns.contender == name, columns.target_date == month(at)
    )
    with stage.engine.begin() as connection:
        assert connection.execute(statement.values(value=value)).rowcount == 1
