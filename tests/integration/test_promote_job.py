"""The promote job on a real Postgres and a real MLflow, with contenders whose merits are known."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
import sqlalchemy as sa

from core import locks
from core.database import decisions
from core.errors import IntegrityError, NotFoundError, RegistryUnreachableError
from core.jobs import exit_code
from core.settings import Settings, child_environment
from core.tasks import digest
from tests.integration.stage import SERIES, Stage
from training import ledger, moves, promote, registry, versions
from training.flavor import unpack
from training.ledger import CHALLENGER, CHAMPION

FLAT = [100.0] * 30


@pytest.fixture
def stage(settings_with_mlflow: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_mlflow, engine)


def off_by(error: float, n: int = 30, seed: int = 0) -> list[float]:
    """Forecasts of 100 with errors of about that size."""
    return (100 + np.random.default_rng(seed).uniform(0.5, 1.5, n) * error).tolist()


def crowned(stage: Stage) -> Stage:
    """A stage on which ridge has been crowned before linear and naive."""
    stage.came_true(FLAT, naive=off_by(5, seed=1), ridge=off_by(1, seed=2), linear=off_by(2, seed=3))
    stage.versions("naive", "ridge", "linear")
    stage.promote()
    return stage


def phases(stage: Stage) -> list[tuple[str, str, int | None, int | None]]:
    history = ledger.history(stage.engine, stage.task.name)
    return [(e.phase, e.move.alias, e.move.from_version, e.move.to_version) for e in history]


def decided(stage: Stage) -> list[sa.Row[tuple[object, ...]]]:
    with stage.engine.connect() as connection:
        of_task = sa.select(decisions).where(decisions.c.task == stage.task.name)
        return list(connection.execute(of_task.order_by(decisions.c.id)))


def test_the_best_backtest_is_crowned_first_and_the_next_challenges(stage: Stage) -> None:
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
    assert report.sentence().startswith("BOOTSTRAP (best_backtest): champion ridge (mae 0.9")
    assert versions.bundle(stage.engine, naive.artifact_digest) is None


def test_the_decision_says_what_it_stands_on(stage: Stage) -> None:
    crowned(stage)

    (row,) = decided(stage)

    assert (row.outcome, row.champion, row.challenger, row.series) == ("BOOTSTRAP", "ridge", "linear", SERIES)
    assert row.evidence_hash == digest(row.evidence)
    assert row.evidence["rows"] == 30
    assert (row.evidence["first"], row.evidence["last"]) == ("2000-01-01", "2002-06-01")
    assert row.evidence["mean_loss"]["ridge"] < row.evidence["mean_loss"]["linear"]
    assert row.evidence["beats_baseline"] == {"naive": "no", "ridge": "yes", "linear": "yes"}
    named = {"contender", "version", "trained_through", "data_hash", "artifact_digest"}
    assert set(row.evidence["versions"]["ridge"]) == named
    assert row.evidence["reign"] == {"champion": "ridge", "series": SERIES, "since": "2002-06-01"}


def test_a_version_that_takes_an_alias_is_kept_in_postgres_to_the_byte(stage: Stage, tmp_path: object) -> None:
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    _, ridge, _ = stage.versions("naive", "ridge", "linear")

    stage.promote()

    content = versions.bundle(stage.engine, ridge.artifact_digest)
    assert content is not None
    folder = unpack(content, stage.settings.home / "unpacked")
    assert registry.folder_digest(folder) == ridge.artifact_digest


def test_a_second_run_finds_nothing_to_do(stage: Stage) -> None:
    crowned(stage)
    before = phases(stage)

    report = stage.promote()

    assert not report.is_new
    assert report.sentence() == "nothing to do: BOOTSTRAP (best_backtest) stands"
    assert phases(stage) == before
    assert len(decided(stage)) == 1


def test_rows_that_crowned_the_champion_are_no_evidence_and_too_few_new_ones_hold(stage: Stage) -> None:
    crowned(stage)
    stage.came_true([100.0] * 5, naive=off_by(5, 5), ridge=off_by(9, 5), linear=off_by(0.1, 5))

    report = stage.promote()

    assert (report.outcome, report.reason) == ("HOLD", "too_few_rows")
    evidence = decided(stage)[-1].evidence
    assert {one["rows"] for one in evidence["comparisons"]} == {5}
    assert evidence["reign"]["since"] == "2002-06-01"


def test_a_newer_version_of_the_champion_is_a_refresh_and_the_challenger_follows_its_newest(stage: Stage) -> None:
    crowned(stage)
    stage.came_true([100.0] * 2, naive=off_by(5, 2), ridge=off_by(1, 2), linear=off_by(2, 2))
    ridge, linear = stage.versions("ridge", "linear")

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("PROMOTE", "refresh", "ridge")
    assert stage.aliases() == {CHAMPION: ridge.version, CHALLENGER: linear.version}
    assert stage.promote().is_new is False


def test_a_version_that_cannot_be_served_is_rejected(stage: Stage) -> None:
    crowned(stage)
    champion = stage.aliases()[CHAMPION]
    stage.came_true([100.0], naive=[105.0], ridge=[101.0], linear=[102.0])
    stage.versions("ridge", value=float("nan"))

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("REJECT", "refresh_not_sane", "ridge")
    assert stage.aliases()[CHAMPION] == champion


def test_a_challenger_that_is_truly_better_takes_the_title(stage: Stage) -> None:
    crowned(stage)
    stage.came_true([100.0] * 40, naive=off_by(5, 40), ridge=off_by(6, 40, 1), linear=off_by(1, 40, 2))
    ridge, linear = stage.versions("ridge", "linear")

    report = stage.promote()

    assert (report.outcome, report.reason) == ("PROMOTE", "succession")
    assert (report.champion, report.challenger) == ("linear", "ridge")
    assert stage.aliases() == {CHAMPION: linear.version, CHALLENGER: ridge.version}
    evidence = decided(stage)[-1].evidence
    assert evidence["reign"] == {"champion": "linear", "series": SERIES, "since": "2005-10-01"}
    assert evidence["comparisons"][0]["challenger"] == "linear"
    assert evidence["comparisons"][0]["e_value"] >= 2 / 0.05


def test_equal_predictions_hold_as_identical(stage: Stage) -> None:
    crowned(stage)
    same = off_by(1, 20)
    stage.came_true([100.0] * 20, ridge=same, linear=same)

    report = stage.promote()

    assert (report.outcome, report.reason) == ("HOLD", "identical")


def test_another_series_is_a_new_bootstrap(stage: Stage) -> None:
    crowned(stage)
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


def test_a_champion_moved_by_hand_is_recorded_and_stays_until_it_is_released(stage: Stage) -> None:
    crowned(stage)
    ridge = stage.aliases()[CHAMPION]
    naive = min(set(range(1, 4)) - set(stage.aliases().values()))
    stage.move_by_hand(CHAMPION, naive)
    stage.came_true([100.0] * 40, naive=off_by(5, 40), ridge=off_by(1, 40, 1), linear=off_by(2, 40, 2))

    held = stage.promote()

    assert (held.outcome, held.reason, held.champion) == ("HOLD", "pinned", "naive")
    assert [row for row in phases(stage) if row[1] == CHAMPION][-1] == ("external", CHAMPION, ridge, naive)
    assert stage.aliases()[CHAMPION] == naive
    with stage.engine.begin() as connection:
        assert ledger.release(connection, stage.task.name, CHAMPION, who="test", why="enough", at=stage.clock.now())
    stage.came_true([100.0] * 40, naive=off_by(5, 40), ridge=off_by(1, 40, 1), linear=off_by(2, 40, 2))
    assert stage.promote().reason == "succession"
    assert stage.aliases()[CHAMPION] == ridge


def test_a_champion_alias_that_was_deleted_by_hand_is_recorded_and_not_given_away(stage: Stage) -> None:
    crowned(stage)
    before = stage.aliases()
    address = f"{stage.settings.mlflow_url}/api/2.0/mlflow/registered-models/alias"
    requests.delete(address, json={"name": stage.task.name, "alias": CHAMPION}, timeout=10).raise_for_status()

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("HOLD", "pinned", None)
    assert ("external", CHAMPION, before[CHAMPION], None) in phases(stage)
    assert CHAMPION not in stage.aliases()


def test_an_alias_on_a_version_that_is_not_ours_is_pinned(stage: Stage) -> None:
    crowned(stage)
    ours = versions.newest(stage.engine, stage.task, SERIES, "ridge")
    assert ours is not None
    (made,) = (
        one for one in registry.versions_above(stage.settings, stage.task.name, 0) if one.version == ours.version
    )
    number = registry.create_version(
        stage.settings, stage.task.name, source=made.source, run_id=made.run_id, tags={}, description="by hand"
    )
    stage.move_by_hand(CHAMPION, number)

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("HOLD", "pinned", None)
    assert stage.aliases()[CHAMPION] == number


def test_a_challenger_moved_by_hand_is_left_alone_too(stage: Stage) -> None:
    crowned(stage)
    naive = min(set(range(1, 4)) - set(stage.aliases().values()))
    stage.move_by_hand(CHALLENGER, naive)
    stage.came_true([100.0], naive=[105.0], ridge=[101.0], linear=[102.0])

    report = stage.promote()

    assert (report.outcome, report.challenger) == ("HOLD", "linear")
    assert stage.aliases()[CHALLENGER] == naive


def test_a_champion_whose_declaration_changed_is_unscorable_and_holds(stage: Stage) -> None:
    crowned(stage)
    changed = stage.task.contenders["ridge"].model_copy(update={"refit_every": 3})
    stage.task = stage.task.model_copy(update={"contenders": {**stage.task.contenders, "ridge": changed}})

    report = stage.promote()

    assert (report.outcome, report.reason) == ("HOLD", "champion_unscorable")


def test_a_move_that_was_made_but_not_confirmed_is_confirmed_by_the_next_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after MLflow moved the alias and before the ledger knew."""
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    _, ridge, linear = stage.versions("naive", "ridge", "linear")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "aliases", _dies_after(1, registry.aliases))
        with pytest.raises(KeyboardInterrupt):
            stage.promote()
    assert stage.aliases() == {CHAMPION: ridge.version}

    report = stage.promote()

    assert [move.alias for move in report.moves] == [CHAMPION, CHALLENGER]
    assert stage.aliases() == {CHAMPION: ridge.version, CHALLENGER: linear.version}
    assert ledger.unfinished(stage.engine, stage.task.name) == []
    assert len(decided(stage)) == 1
    assert [phase for phase, *_ in phases(stage)] == ["intent", "intent", "confirmed", "confirmed"]


def test_a_half_made_move_that_a_person_overtook_is_abandoned_and_theirs_is_recorded(stage: Stage) -> None:
    crowned(stage)
    standing = stage.aliases()
    naive = min(set(range(1, 4)) - set(standing.values()))
    intended = ledger.new_move(
        stage.task.name, CHAMPION, standing[CHAMPION], standing[CHALLENGER], who="promote", why="PROMOTE refresh"
    )
    with stage.engine.begin() as connection:
        ledger.write(connection, "intent", intended.decided(1, ""), stage.clock.now())
    stage.move_by_hand(CHAMPION, naive)

    report = stage.promote()

    assert (report.outcome, report.reason) == ("HOLD", "pinned")
    of_champion = [phase for phase, alias, *_ in phases(stage) if alias == CHAMPION]
    assert of_champion == ["intent", "confirmed", "intent", "abandoned", "external"]


def test_without_mlflow_the_job_is_to_be_tried_again_and_nothing_is_lost(stage: Stage) -> None:
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    stage.versions("naive", "ridge", "linear")
    away = stage.settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9"})

    with pytest.raises(RegistryUnreachableError) as raised:
        promote.run(away, stage.task, stage.clock)

    assert exit_code(raised.value) == 75
    assert phases(stage) == []
    assert stage.promote().outcome == "BOOTSTRAP"


def test_one_flipped_byte_in_the_store_and_the_model_never_takes_an_alias(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    _, ridge, _ = stage.versions("naive", "ridge", "linear")
    (stored,) = tmp_path_factory.getbasetemp().rglob(f"{ridge.run_id}/artifacts/model/data/model.pkl")
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(bytes(content))

    with pytest.raises(IntegrityError, match="not what was trained") as raised:
        stage.promote()

    assert exit_code(raised.value) == 43
    assert stage.aliases() == {}
    assert phases(stage) == []


def test_twenty_promoters_at_once_crown_one_champion_in_one_decision(stage: Stage) -> None:
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    _, ridge, linear = stage.versions("naive", "ridge", "linear")

    with ThreadPoolExecutor(20) as pool:
        reports = list(pool.map(lambda _: stage.promote(), range(20)))

    assert sum(report.is_new for report in reports) == 1
    assert len(decided(stage)) == 1
    assert [phase for phase, *_ in phases(stage)] == ["intent", "intent", "confirmed", "confirmed"]
    assert stage.aliases() == {CHAMPION: ridge.version, CHALLENGER: linear.version}


def test_a_late_holder_of_the_lease_writes_nothing(stage: Stage) -> None:
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    _, ridge, _ = stage.versions("naive", "ridge", "linear")
    move = ledger.new_move(stage.task.name, CHAMPION, None, ridge.version, who="late", why="test")
    with locks.hold(stage.engine, f"promote/{stage.task.name}") as lease:
        with stage.engine.begin() as connection:
            connection.execute(sa.text("UPDATE leases SET token = token + 1"))

        with pytest.raises(Exception, match="taken over"):
            moves.carry_out(stage.workplace(lease), [move])

    assert stage.aliases() == {}


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


def _dies_after(calls: int, ask: object) -> object:
    """The same call, which dies the second time that it is made after so many."""
    left = [calls]

    def asked(*arguments: object, **named: object) -> object:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return ask(*arguments, **named)  # type: ignore[operator]

    return asked
