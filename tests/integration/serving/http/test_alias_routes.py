"""Aliases moved by an administrator: recorded with who and why, pinned, repeatable, and never onto the unknown."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.jobs import leases
from tests.support.serving.managed import Managed, managed, told
from tests.support.training.promotions import decided
from tests.support.waiting import wait_for
from training.ledger import entries as ledger
from training.ledger import reconciler
from training.registry.factory import open_registry


@pytest.fixture
def at(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Managed]:
    with managed(settings_with_registry, engine, tmp_path / "tasks") as at:
        yield at


def numbers(at: Managed) -> tuple[int, ...]:
    return tuple(version.version for version in at.world.versions)


def test_a_promotion_moves_the_alias_is_served_and_written_down(at: Managed) -> None:
    naive, linear = numbers(at)

    first = at.post(f"{at.base}/promote", version=linear).get_json()
    second = at.post(f"{at.base}/promote", version=naive, alias="challenger", why="shadow").get_json()

    assert first == {
        "task": at.world.stage.task.name,
        "alias": "champion",
        "from_version": None,
        "version": linear,
        "contender": "linear",
        "moved": True,
        "pinned": True,
    }
    assert (second["alias"], second["version"]) == ("challenger", naive)
    assert at.world.stage.aliases() == {"champion": linear, "challenger": naive}
    wait_for(lambda: at.api.version(at.world.path) == linear)
    rows = at.get(f"{at.base}/ledger")["rows"]
    assert [(row["phase"], row["alias"], row["who"], row["why"]) for row in rows] == [
        ("confirmed", "challenger", "anna", "shadow"),
        ("intent", "challenger", "anna", "shadow"),
        ("confirmed", "champion", "anna", "test"),
        ("intent", "champion", "anna", "test"),
    ]
    assert len(at.get(f"{at.base}/ledger?limit=1")["rows"]) == 1
    of_person = [(row.outcome, row.reason, row.champion, row.challenger) for row in decided(at.world.stage)]
    assert of_person == [("FORCED", "promoted", "linear", None), ("FORCED", "promoted", "linear", "naive")]
    assert at.audited()[:2] == [("anna", "promote", "intended"), ("anna", "promote", "intended")]


def test_a_promotion_that_is_asked_for_again_does_nothing(at: Managed) -> None:
    naive, _ = numbers(at)
    at.post(f"{at.base}/promote", version=naive)

    again = at.post(f"{at.base}/promote", version=naive).get_json()

    assert (again["moved"], again["from_version"], again["pinned"]) == (False, naive, True)
    assert len(at.get(f"{at.base}/ledger")["rows"]) == 2
    assert at.audited()[0] == ("anna", "promote", "nothing to do")


def test_a_champion_that_the_gate_made_is_pinned_by_who_promotes_it_again(at: Managed) -> None:
    naive, _ = numbers(at)
    stage = at.world.stage
    at.post(f"{at.base}/promote", version=naive)
    with at.engine.begin() as connection:
        assert ledger.release(connection, stage.task.name, "champion", who="me", why="", at=stage.clock.now())

    again = at.post(f"{at.base}/promote", version=naive).get_json()

    assert (again["moved"], again["version"], again["pinned"]) == (False, naive, True)
    assert at.audited()[0] == ("anna", "promote", "pinned")
    assert stage.promote().reason == "pinned"


def test_what_an_administrator_moved_is_pinned_until_it_is_released(at: Managed) -> None:
    naive, _ = numbers(at)
    stage = at.world.stage
    at.post(f"{at.base}/promote", version=naive)

    held = stage.promote()

    assert (held.outcome, held.reason) == ("HOLD", "pinned")
    assert stage.aliases()["champion"] == naive
    with at.engine.begin() as connection:
        assert ledger.release(connection, stage.task.name, "champion", who="me", why="", at=stage.clock.now())
    assert stage.promote().reason != "pinned"


def test_a_move_that_died_half_way_is_finished_by_the_job_and_still_pins(
    at: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    naive, _ = numbers(at)

    def die(*_: object) -> None:
        raise SystemError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(reconciler, "execute", die)
        assert at.post(f"{at.base}/promote", version=naive).status_code == 500
    assert at.world.stage.aliases() == {}

    report = at.world.stage.promote()

    assert [move.to_version for move in report.moves if move.alias == "champion"] == [naive]
    assert report.reason == "pinned"


def test_only_versions_that_are_there_and_were_made_here_can_be_promoted(at: Managed) -> None:
    name, settings = at.world.stage.task.name, at.world.settings
    theirs = open_registry(settings).find(name, numbers(at)[0])
    assert theirs is not None
    unknown = open_registry(settings).create_version(
        name, source=theirs.source, run_id=theirs.run_id, tags={"contender": "theirs"}, description=""
    )

    assert told(at.post(f"{at.base}/promote", version=unknown)) == (422, "data_refused")
    assert told(at.post(f"{at.base}/promote", version=unknown + 1)) == (404, "not_found")
    assert told(at.post(f"{at.base}/rollback", to=unknown + 1)) == (404, "not_found")
    assert told(at.post(f"{at.base}/promote", version=2**31)) == (422, "invalid")
    assert told(at.post("/management/tasks/nothing/promote", version=1)) == (404, "not_found")
    assert at.world.stage.aliases() == {}
    listed = at.get(f"{at.base}/versions")["versions"]
    assert [(one["version"], one["recorded"] is None) for one in listed] == [(unknown, True), (2, False), (1, False)]


def test_the_list_of_versions_tells_what_made_them_and_where_the_aliases_stand(at: Managed) -> None:
    naive, linear = numbers(at)
    at.world.crown(at.world.versions[0])

    newest, oldest = at.get(f"{at.base}/versions")["versions"]

    assert (newest["version"], newest["aliases"], newest["recorded"]["contender"]) == (linear, [], "linear")
    assert (oldest["version"], oldest["aliases"]) == (naive, ["champion"])
    assert oldest["tags"]["contender"] == "naive"
    assert oldest["tags"]["trained_through"] == oldest["recorded"]["trained_through"]
    assert [one["version"] for one in at.get(f"{at.base}/versions?limit=1")["versions"]] == [linear]
    assert at.get("/management/tasks/live/versions") == {"task": "live", "versions": []}


def test_a_rollback_goes_to_the_champion_before_and_asked_twice_stays_there(at: Managed) -> None:
    naive, linear = numbers(at)
    assert told(at.post(f"{at.base}/rollback")) == (404, "not_found")
    at.post(f"{at.base}/promote", version=naive)
    assert told(at.post(f"{at.base}/rollback")) == (404, "not_found")
    at.post(f"{at.base}/promote", version=linear)

    back = at.post(f"{at.base}/rollback", why="it raves").get_json()
    again = at.post(f"{at.base}/rollback").get_json()
    forth = at.post(f"{at.base}/rollback", to=linear).get_json()

    assert (back["from_version"], back["version"], back["moved"], back["pinned"]) == (linear, naive, True, True)
    assert (again["version"], again["moved"]) == (naive, False)
    assert (forth["version"], forth["moved"]) == (linear, True)
    assert decided(at.world.stage)[2].reason == "rolled_back"
    assert at.audited()[:3] == [
        ("anna", "roll back", "intended"),
        ("anna", "roll back", "nothing to do"),
        ("anna", "roll back", "intended"),
    ]


def test_while_a_job_holds_the_lease_nothing_is_moved(at: Managed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ledger.manual.LEASE_WAIT_SECONDS", 0.2)

    with leases.hold(at.engine, f"promote/{at.world.stage.task.name}"):
        assert told(at.post(f"{at.base}/promote", version=1)) == (409, "busy")

    assert at.world.stage.aliases() == {}
