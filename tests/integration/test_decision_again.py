"""Every decision can be made again: on a real Postgres and a real MLflow, from the command line as a user would."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from core.database import contender_predictions, decisions, runs
from core.settings import Settings
from tests.integration.promotions import crowned, decided, off_by
from tests.integration.pushed_world import PushedWorld
from tests.integration.stage import Stage, month
from tests.integration.test_ledger_commands import Terminal
from training import decision_log, promote, tracking
from training.again import again

AWAY = "http://127.0.0.1:9"


@pytest.fixture
def stage(settings_with_mlflow: Settings, engine: sa.Engine, tmp_path: Path) -> Stage:
    settings = settings_with_mlflow.model_copy(update={"tasks": tmp_path / "tasks"})
    stage = Stage(settings, engine)
    settings.tasks.mkdir()
    (settings.tasks / f"{stage.task.name}.yaml").write_text(yaml.safe_dump(stage.task.model_dump(mode="json")))
    return stage


@pytest.fixture
def contender(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(stage.settings, monkeypatch)


@pytest.fixture
def client(settings_with_mlflow: Settings) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(settings_with_mlflow.mlflow_url, settings_with_mlflow.mlflow_url)


def logged(client: Any, stage: Stage) -> dict[str, Any]:
    """The runs of decisions, by the decision's id."""
    experiment = client.get_experiment_by_name(stage.task.name).experiment_id
    found = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    of_decisions = [run for run in found if "decision" in run.data.tags]
    assert len({run.data.tags["decision"] for run in of_decisions}) == len(of_decisions)
    return {run.data.tags["decision"]: run for run in of_decisions}


def a_life(stage: Stage) -> None:
    """Crowned; a refresh; looks while the version before goes on; a succession, and looks on probation after it."""
    crowned(stage)
    stage.came_true([100.0] * 5, naive=off_by(5, 5), ridge=off_by(3, 5, 7), linear=off_by(2, 5, 8))
    stage.promote(log_holds=True)
    stage.came_true([100.0] * 2, naive=off_by(5, 2), ridge=off_by(3, 2, 5), linear=off_by(2, 2, 6))
    stage.versions("ridge")
    stage.promote(log_holds=True)
    stage.came_true([100.0] * 3, naive=off_by(5, 3), ridge=off_by(3, 3, 5), linear=off_by(2, 3, 6))
    stage.promote(log_holds=True)
    stage.came_true([100.0] * 40, naive=off_by(5, 40), ridge=off_by(6, 40, 1), linear=off_by(1, 40, 2))
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


def test_a_run_in_mlflow_shows_what_was_decided(stage: Stage, client: Any) -> None:
    crowned(stage)
    stage.came_true([100.0] * 20, naive=off_by(5, 20), ridge=off_by(3, 20, 7), linear=off_by(3, 20, 8))
    stage.promote(log_holds=True)
    row = decided(stage)[-1]

    run = logged(client, stage)[str(row.id)]

    assert run.info.run_name == f"decision {row.session_date} HOLD"
    assert run.info.status == "FINISHED"
    shown = ("outcome", "reason", "champion", "challenger", "evidence_hash", "series")
    assert {name: run.data.tags[name] for name in shown} == {name: str(row._mapping[name]) for name in shown}
    compared = {one["challenger"]: one for one in row.evidence["comparisons"]}
    assert run.data.metrics == {
        **{f"mean_loss.{name}": mean for name, mean in row.evidence["mean_loss"].items()},
        **{f"evidence.{name}": one["e_value"] for name, one in compared.items()},
        **{f"shared.{name}": one["shared"] for name, one in compared.items()},
    }
    assert "is better than ridge, over 20 rows, is worth" in run.data.tags["mlflow.note.content"]


def test_a_replay_without_holds_logs_what_moved_something(stage: Stage, client: Any) -> None:
    crowned(stage)
    stage.came_true([100.0], naive=[105.0], ridge=[101.0], linear=[102.0])
    promote.run(stage.settings, stage.task, stage.clock, log_holds=False)
    stage.came_true([100.0], naive=[105.0], ridge=[101.0], linear=[102.0])
    stage.versions("ridge")
    promote.run(stage.settings, stage.task, stage.clock, log_holds=False)

    names = [run.info.run_name.split()[-1] for run in logged(client, stage).values()]

    assert [row.outcome for row in decided(stage)] == ["BOOTSTRAP", "HOLD", "PROMOTE"]
    assert names == ["BOOTSTRAP", "PROMOTE"]


def test_what_could_not_be_logged_is_logged_once_by_the_next_run_and_kept_no_alias_from_moving(
    stage: Stage, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tracking.Tracking.open

    def away(settings: Settings, *rest: Any) -> Any:
        return opened(settings.model_copy(update={"mlflow_url": AWAY}), *rest)

    stage.came_true([100.0] * 30, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    stage.versions("naive", "ridge", "linear")
    with monkeypatch.context() as without_mlflow:
        without_mlflow.setattr(tracking.Tracking, "open", away)
        without_mlflow.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        stage.promote(log_holds=True)
    assert set(stage.aliases()) == {"champion", "challenger"}
    assert logged(client, stage) == {}

    assert not stage.promote(log_holds=True).is_new
    assert not stage.promote(log_holds=True).is_new

    (row,) = decided(stage)
    assert list(logged(client, stage)) == [str(row.id)]


@pytest.mark.parametrize("killed_at", ["log", "finish", "mark"])
def test_a_decision_is_logged_once_wherever_the_job_was_killed(
    stage: Stage, client: Any, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    stage.came_true([100.0] * 30, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    stage.versions("naive", "ridge", "linear")
    with monkeypatch.context() as dying:
        if killed_at == "mark":
            dying.setattr(decision_log.runs, "settle", settle_unless_a_mark(killed))
        else:
            dying.setattr(tracking.Tracking, killed_at if killed_at == "finish" else "_create", killed)
        with pytest.raises(KeyboardInterrupt):
            stage.promote(log_holds=True)
    assert set(stage.aliases()) == {"champion", "challenger"}

    stage.promote(log_holds=True)

    (row,) = decided(stage)
    (run,) = logged(client, stage).values()
    assert (run.data.tags["decision"], run.info.status) == (str(row.id), "FINISHED")
    with stage.engine.connect() as connection:
        marks = connection.execute(sa.select(runs.c.report).where(runs.c.step == "decision")).scalars().all()
    assert [mark["run"] for mark in marks] == [run.info.run_id]


def settle_unless_a_mark(killed: Any) -> Any:
    """The job's own work is settled; the mark of what was logged is not."""
    settle = decision_log.runs.settle

    def settle_or_die(connection: sa.Connection, key: Any, report: dict[str, Any]) -> None:
        (killed if key.step == "decision" else settle)(connection, key, report)

    return settle_or_die


def test_a_row_that_was_changed_is_noticed_and_named(stage: Stage, contender: Terminal, tmp_path: Path) -> None:
    crowned(stage)
    stage.came_true([100.0] * 20, naive=off_by(5, 20), ridge=off_by(3, 20, 7), linear=off_by(3, 20, 8))
    stage.promote(log_holds=True)
    first, *_, second = (row.id for row in decided(stage))
    change(stage, "linear", stage.months - 1, 100.0)

    code, told = contender("decision", "replay", str(second), "--out", str(tmp_path / "again"), columns=300)

    assert code == 43
    assert "differs  evidence.comparisons[linear].challenger_loss: " in told
    assert "ridge].challenger_loss" not in told
    assert f"Decision {second} of '{stage.task.name}' does not come out as it was written down." in told
    kept = {line for line in again(stage.engine, second).differences if line.startswith("the rows of ")}
    assert [line.split(":")[0] for line in kept] == ["the rows of linear against ridge"]
    assert (tmp_path / "again" / "report.html").exists()
    assert contender("decision", "replay", str(first))[0] == 0


def test_a_changed_row_that_an_earlier_decision_counted_is_noticed_by_the_report(stage: Stage) -> None:
    crowned(stage)
    for _ in range(2):
        stage.came_true([100.0] * 5, naive=off_by(5, 5), ridge=off_by(3, 5, 7), linear=off_by(3, 5, 8))
        stage.promote(log_holds=True)
    last = decided(stage)[-1].id
    assert again(stage.engine, last).differences == ()
    change(stage, "naive", stage.months - 8, 100.0)

    told = again(stage.engine, last).differences

    assert [line.split(":")[0] for line in told] == ["the rows of naive against ridge", "report.html, as it was logged"]


def test_a_decision_that_was_changed_itself_is_noticed(stage: Stage) -> None:
    crowned(stage)
    (row,) = decided(stage)
    with stage.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE decisions DISABLE TRIGGER decisions_append_only"))
        forged = {**row.evidence, "mean_loss": {**row.evidence["mean_loss"], "linear": 0.5}}
        connection.execute(sa.update(decisions).where(decisions.c.id == row.id).values(evidence=forged))

    told = again(stage.engine, row.id).differences

    assert told[0].startswith(f"evidence_hash, as it was written down: {row.evidence_hash} → ")
    (mean,) = (line for line in told if line.startswith("evidence.mean_loss"))
    assert mean.startswith("evidence.mean_loss.linear: 0.5 → ")


def test_labels_restated_later_change_no_decision_of_before(stage: Stage) -> None:
    crowned(stage)
    stage.came_true([100.0] * 20, naive=off_by(5, 20), ridge=off_by(3, 20, 7), linear=off_by(3, 20, 8))
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
    assert "ridge@v2, which served before, is champion again" in page
    assert "ridge@v2, which served before, goes on predicting for 63 rows." in page


def test_a_decision_is_shown_in_words_that_fit_a_terminal(stage: Stage, contender: Terminal) -> None:
    crowned(stage)
    stage.came_true([100.0] * 20, naive=off_by(5, 20), ridge=off_by(3, 20, 7), linear=off_by(3, 20, 8))
    stage.promote(log_holds=True)
    row = decided(stage)[-1]

    code, told = contender("decision", "show", str(row.id), columns=80)

    assert code == 0
    assert max(map(len, told.splitlines())) <= 80
    assert told.startswith(f"Decision {row.id} of {stage.task.name}, {row.session_date}: HOLD")
    assert "Champion: ridge, which beats the baseline. Challenger: linear." in told
    (linear,) = (line.split() for line in told.splitlines() if line.startswith("linear") and " of 20 " in line)
    assert linear[1] == "20"
    assert " ".join(linear[-2:]) == "not enough"


def test_what_a_person_decided_is_shown_and_there_is_nothing_to_compute_again(
    stage: Stage, contender: Terminal
) -> None:
    crowned(stage)
    contender("rollback", stage.task.name, "--to", "1", "--why", "it raves", "--who", "anna")
    number = decided(stage)[-1].id

    assert contender("decision", "show", str(number))[1].splitlines()[:4] == [
        f"Decision {number} of {stage.task.name}, {stage_day(stage, number)}: FORCED (rolled_back)",
        "A person took the champion back to an earlier version.",
        "Champion: naive. Challenger: linear.",
        "anna asked for version 1 as champion: it raves",
    ]
    code, told = contender("decision", "replay", str(number))
    assert code == 42
    assert "was not made by the gate: FORCED (rolled_back)." in told
    assert f"`contender decision show {number}` shows it." in told


def test_a_pushed_tasks_decision_is_shown_too(
    settings_with_mlflow: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = PushedWorld(settings_with_mlflow, engine)
    contender = Terminal(world.settings, monkeypatch)
    world.version(10)
    with engine.connect() as connection:
        (number,) = connection.execute(sa.select(decisions.c.id)).scalars()

    code, told = contender("decision", "show", str(number))

    assert (code, told.splitlines()[1]) == (
        0,
        "The first version of the contender that learns this task takes the title.",
    )
    assert contender("decision", "replay", str(number))[0] == 42


def test_an_id_that_no_decision_has_is_told_in_words(stage: Stage, contender: Terminal) -> None:
    for verb in ("show", "replay"):
        code, told = contender("decision", verb, "4711")

        assert code == 42
        assert "There is no decision 4711." in told


def test_a_folder_that_cannot_be_written_is_told_in_words(stage: Stage, contender: Terminal, tmp_path: Path) -> None:
    crowned(stage)
    (tmp_path / "file").write_text("")

    code, told = contender("decision", "replay", str(decided(stage)[0].id), "--out", str(tmp_path / "file" / "below"))

    assert code == 42
    assert "Nothing can be written into" in told


def stage_day(stage: Stage, number: int) -> str:
    return next(str(row.session_date) for row in decided(stage) if row.id == number)


def change(stage: Stage, name: str, at: int, value: float) -> None:
    """What somebody does with a database at hand."""
    columns = contender_predictions.c
    statement = sa.update(contender_predictions).where(
        columns.task == stage.task.name, columns.contender == name, columns.target_date == month(at)
    )
    with stage.engine.begin() as connection:
        assert connection.execute(statement.values(value=value)).rowcount == 1
