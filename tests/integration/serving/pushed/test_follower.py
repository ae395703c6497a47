"""Who answers for a pushed task: the live learner, or the version on which somebody put the alias."""

from typing import Any

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.db.event_tables import checkpoints
from core.db.pipeline_tables import leases
from serving.champion.poller import AliasPoller
from serving.runtime import reloads
from tests.support.serving.pushed_world import PushedWorld, features
from tests.support.serving.world import Api, open_api
from tests.support.waiting import wait_for
from training.event_log.events import NewEvent
from training.registry.factory import open_registry

AWAY = "http://127.0.0.1:9"
ASKED = {"in_1": 4.4, "in_2": 2.1}


@pytest.fixture
def world(settings_with_mlflow: Settings, engine: sa.Engine) -> PushedWorld:
    return PushedWorld(settings_with_mlflow, engine)


def restarted(world: PushedWorld, **changes: object) -> AliasPoller:
    """A worker that has just started, after its first poll."""
    world.declare(world.task)
    poller = world.start_polling(**changes)
    poller.poll()
    return poller


def says(world: PushedWorld) -> tuple[str, int | None, float | None]:
    served = world.loaded.served()
    return served.mode, served.version, served.predictor.predict(ASKED, None)


def test_on_the_newest_version_the_live_learner_answers(world: PushedWorld) -> None:
    world.poller.poll()
    assert says(world) == ("live", None, None)

    version, then = world.version(10)
    world.learn(10)
    world.poller.poll()

    assert says(world) == ("live", version, world.loaded.running.predict(ASKED, None))
    assert world.loaded.running.predict(ASKED, None) != then.predict(ASKED, "default")
    assert world.loaded.served().last_event_id == 20


def test_on_an_older_version_that_one_answers_until_the_alias_is_back(world: PushedWorld) -> None:
    first, then = world.version(10)
    second, _ = world.version(10)

    world.move_by_hand(first)
    world.poller.poll()
    world.learn(10)
    assert says(world) == ("frozen", first, then.predict(ASKED, "default"))
    assert world.loaded.served().last_event_id == 10

    world.move_by_hand(second)
    world.poller.poll()
    assert says(world) == ("live", second, world.loaded.running.predict(ASKED, None))


def test_a_reload_loads_who_is_frozen_again_and_until_that_succeeds_it_answers_on(world: PushedWorld) -> None:
    first, _ = world.version(10)
    world.version(10)
    world.move_by_hand(first)
    world.poller.poll()
    before, said = world.loaded.served().predictor, says(world)
    world.poller.poll()
    assert world.loaded.served().predictor is before

    reloads.request(world.engine, world.task.name, who="test", why="test")
    with world.engine.begin() as connection:
        connection.execute(sa.update(checkpoints).values(state=checkpoints.c.state.op("||")(b"x")))
    world.poller.poll()
    assert world.loaded.served().predictor is before

    with world.engine.begin() as connection:
        whole = sa.func.substring(checkpoints.c.state, 1, sa.func.octet_length(checkpoints.c.state) - 1)
        connection.execute(sa.update(checkpoints).values(state=whole))
    world.poller.poll()
    assert world.loaded.served().predictor is not before
    assert says(world) == said


def test_a_pinned_version_answers_frozen_from_the_next_version_on(world: PushedWorld) -> None:
    pinned, then = world.version(10)
    world.version(10)
    world.move_by_hand(pinned)
    world.version(10)

    world.poller.poll()

    assert says(world) == ("frozen", pinned, then.predict(ASKED, "default"))


def test_while_mlflow_is_away_who_answered_answers_on_and_after_a_restart_too(world: PushedWorld) -> None:
    first, then = world.version(10)
    world.version(10)
    world.move_by_hand(first)
    world.poller.poll()
    world.register()  # writes down the move that it finds
    frozen = ("frozen", first, then.predict(ASKED, "default"))

    world.start_polling(mlflow_url=AWAY).poll()
    assert says(world) == frozen

    restarted(world, mlflow_url=AWAY)
    assert says(world) == frozen


def test_a_task_of_which_nothing_is_known_is_answered_live(world: PushedWorld) -> None:
    world.learn(5)

    restarted(world, mlflow_url=AWAY)

    assert says(world) == ("live", None, world.loaded.running.predict(ASKED, None))


def test_a_version_that_is_not_ours_changes_nothing(world: PushedWorld) -> None:
    world.version(10)
    (made,) = open_registry(world.settings).versions_above(world.task.name, 0)
    foreign = open_registry(world.settings).create_version(
        world.task.name, source=made.source, run_id=made.run_id, tags={}, description="by hand"
    )
    world.poller.poll()

    world.move_by_hand(foreign)
    world.poller.poll()

    assert says(world)[:2] == ("live", made.version)


def test_the_contender_that_is_to_learn_answers_before_it_has_a_version_unless_a_person_chose(
    world: PushedWorld,
) -> None:
    of_linear, then = world.version(10)

    world.declare(world.task.model_copy(update={"serves": "knn"}))
    world.poller.poll()
    assert says(world) == ("live", None, world.loaded.running.predict(ASKED, None))

    of_knn, _ = world.version(10)
    world.poller.poll()
    assert says(world)[:2] == ("live", of_knn)

    world.move_by_hand(of_linear)
    world.poller.poll()
    assert says(world) == ("frozen", of_linear, then.predict(ASKED, "default"))


def post(api: Api, path: str, body: Any, task: str) -> Any:
    answer = api.client.post(f"{path}?task={task}", json=body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def is_registering(world: PushedWorld) -> bool:
    """Whether a job is at work that registers versions."""
    held = sa.select(leases.c.name).where(leases.c.name == "register", leases.c.expires_at > sa.func.clock_timestamp())
    with world.engine.connect() as connection:
        return connection.execute(held).first() is not None


def test_the_service_registers_by_itself_and_answers_as_the_alias_says(world: PushedWorld) -> None:
    task = world.task.name

    def info(api: Api) -> dict[str, Any]:
        told: dict[str, Any] = api.ask(f"/model_metrics?task={task}")["model_info"]
        return told

    with open_api(world.settings) as api:
        body = [{"features": features(n), "target": float(n % 7)} for n in range(30)]
        post(api, "/predict_learn", body, task)
        wait_for(lambda: world.champion() == 1, 200)
        wait_for(lambda: info(api)["model_version"] == 1)
        told = info(api)
        assert (told["served"], told["served_last_event_id"], told["last_event_id"]) == ("live", 30, 30)
        wait_for(lambda: not is_registering(world))  # the job ends a little after it has moved the alias

    # Made while no service runs, which would write a checkpoint of these rows itself, or register it.
    world.loaded.running.catch_up()
    world.day = 20_000  # a session of its own, later than the one of the service
    world.learned = 30
    second, _ = world.version(30)

    with open_api(world.settings) as api:
        wait_for(lambda: info(api)["model_version"] == second)
        live = post(api, "/predict", {"features": ASKED}, task)

        world.move_by_hand(1)
        wait_for(lambda: info(api)["served"] == "frozen")
        frozen = post(api, "/predict", {"features": ASKED}, task)
        with_id = post(api, "/predict", [{"features": ASKED, "id": "a"}], task)
        ahead = post(api, "/predict_many", {"features": ASKED, "steps": 2}, task)["forecast"]
        assert frozen != live
        assert with_id == [frozen]
        assert ahead[0]["value"] == frozen["prediction"]
        assert post(api, "/predict_learn", {"features": ASKED, "target": 3.0}, task) == live
        assert info(api)["served_last_event_id"] == 30

        world.move_by_hand(second)
        wait_for(lambda: info(api)["served"] == "live")


def test_the_predictions_of_a_frozen_champion_do_not_enter_the_scores(world: PushedWorld) -> None:
    first, _ = world.version(10)
    world.version(10)
    world.move_by_hand(first)
    world.poller.poll()

    said = world.loaded.running.predict(ASKED, None)
    world.loaded.committer.submit([NewEvent("predict", ASKED, None, "a")])
    world.loaded.committer.submit([NewEvent("label", None, 2.5, "a")])

    assert world.loaded.running.learner.report()["default"]["last_prediction"] == said
