"""What people, deaths and rivals do to the aliases while the promote job works."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.errors import IntegrityError, RegistryUnreachableError
from core.jobs import leases
from core.jobs.runner import exit_code
from tests.support.registry import delete_alias, registry_class
from tests.support.shared_servers import Mlflow
from tests.support.stage import SERIES, Stage
from tests.support.training.promotions import FLAT, decided, off_by, phases, with_champion
from training import promote
from training.ledger import entries as ledger
from training.ledger import reconciler
from training.ledger.entries import CHALLENGER, CHAMPION
from training.registry import versions
from training.registry.factory import open_registry


@pytest.fixture
def stage(settings_with_mlflow: Settings, engine: sa.Engine) -> Stage:
    return Stage(settings_with_mlflow, engine)


def test_a_champion_moved_by_hand_is_recorded_and_stays_until_it_is_released(stage: Stage) -> None:
    with_champion(stage)
    ridge = stage.aliases()[CHAMPION]
    naive = min(set(range(1, 4)) - set(stage.aliases().values()))
    stage.move_by_hand(CHAMPION, naive)
    stage.came_true([100.0] * 12, naive=off_by(5, 12), ridge=off_by(0.5, 12, 1), linear=off_by(2, 12, 2))

    held = stage.promote()

    assert (held.outcome, held.reason, held.champion) == ("HOLD", "pinned", "naive")
    assert [row for row in phases(stage) if row[1] == CHAMPION][-1] == ("external", CHAMPION, ridge, naive)
    assert stage.aliases()[CHAMPION] == naive
    with stage.engine.begin() as connection:
        assert ledger.release(connection, stage.task.name, CHAMPION, who="test", why="enough", at=stage.clock.now())
    stage.came_true([100.0] * 12, naive=off_by(5, 12), ridge=off_by(0.5, 12, 1), linear=off_by(2, 12, 2))
    assert stage.promote().champion == "ridge"
    assert stage.aliases()[CHAMPION] == ridge


def test_a_champion_alias_that_was_deleted_by_hand_is_recorded_and_not_given_away(stage: Stage) -> None:
    with_champion(stage)
    before = stage.aliases()
    delete_alias(stage.settings, stage.task.name)

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("HOLD", "champion_lost", None)
    assert "contender rollback" in report.sentence()
    assert ("external", CHAMPION, before[CHAMPION], None) in phases(stage)
    assert CHAMPION not in stage.aliases()


def test_an_alias_on_a_version_that_is_not_ours_is_pinned(stage: Stage) -> None:
    with_champion(stage)
    ours = versions.newest(stage.engine, stage.task, SERIES, "ridge")
    assert ours is not None
    (made,) = (
        one for one in open_registry(stage.settings).versions_above(stage.task.name, 0) if one.version == ours.version
    )
    number = open_registry(stage.settings).create_version(
        stage.task.name, source=made.source, run_id=made.run_id, tags={}, description="by hand"
    )
    stage.move_by_hand(CHAMPION, number)

    report = stage.promote()

    assert (report.outcome, report.reason, report.champion) == ("HOLD", "pinned", None)
    assert stage.aliases()[CHAMPION] == number


def test_a_challenger_moved_by_hand_is_left_alone_too(stage: Stage) -> None:
    with_champion(stage)
    naive = min(set(range(1, 4)) - set(stage.aliases().values()))
    stage.move_by_hand(CHALLENGER, naive)
    stage.came_true([100.0], naive=[105.0], ridge=[101.0], linear=[102.0])

    report = stage.promote()

    assert (report.outcome, report.challenger) == ("HOLD", "linear")
    assert stage.aliases()[CHALLENGER] == naive


def test_a_move_that_was_made_but_not_confirmed_is_confirmed_by_the_next_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after MLflow moved the alias and before the ledger knew."""
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    _, ridge, linear = stage.versions("naive", "ridge", "linear")
    with monkeypatch.context() as patch:
        registry = registry_class(stage.settings)
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
    with_champion(stage)
    standing = stage.aliases()
    naive = min(set(range(1, 4)) - set(standing.values()))
    intended = ledger.new_move(
        stage.task.name, CHAMPION, standing[CHAMPION], standing[CHALLENGER], who="promote", why="PROMOTE refresh"
    )
    with stage.engine.begin() as connection:
        ledger.write(connection, "intent", intended.with_decision(1, ""), stage.clock.now())
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


def test_one_flipped_byte_in_the_store_and_the_model_never_takes_an_alias(stage: Stage, mlflow_server: Mlflow) -> None:
    stage.came_true(FLAT, naive=off_by(5), ridge=off_by(1), linear=off_by(2))
    _, ridge, _ = stage.versions("naive", "ridge", "linear")
    (stored,) = mlflow_server.home.rglob(f"{ridge.run_id}/artifacts/model/data/model.pkl")
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 1
    stored.write_bytes(bytes(content))

    with pytest.raises(IntegrityError, match="not what was trained") as raised:
        stage.promote()

    assert exit_code(raised.value) == 43
    assert stage.aliases() == {}
    assert phases(stage) == []


def test_twenty_promoters_at_once_choose_one_champion_in_one_decision(stage: Stage) -> None:
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
    with leases.hold(stage.engine, f"promote/{stage.task.name}") as lease:
        with stage.engine.begin() as connection:
            connection.execute(sa.text("UPDATE leases SET token = token + 1"))

        with pytest.raises(Exception, match="taken over"):
            reconciler.execute(stage.workplace(lease), [move])

    assert stage.aliases() == {}


def _dies_after(calls: int, ask: object) -> object:
    """The same call, which dies the second time that it is made after so many."""
    left = [calls]

    def asked(*arguments: object, **named: object) -> object:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return ask(*arguments, **named)  # type: ignore[operator]

    return asked
