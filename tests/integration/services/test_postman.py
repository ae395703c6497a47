"""The collection that is kept is the one that the services' documents of today give, and it leaves nothing out."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from core.config.settings import Settings
from postman.collection import COLLECTION, Service, collection, written
from postman.documents import services
from tests.support.paths import REPOSITORY

KEPT: dict[str, Any] = json.loads(COLLECTION.read_text())


@pytest.fixture
def today(settings: Settings) -> list[Service]:
    return services(settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9"}))


def requests(folder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in folder["item"]:
        if "item" in item:
            yield from requests(item)
        else:
            yield item


def asked(folder: dict[str, Any]) -> set[tuple[str, str]]:
    """Method and path of every request of a folder."""
    of = [item["request"] for item in requests(folder)]
    return {
        (one["method"].lower(), "/" + "/".join(re.sub("^:(.*)", r"{\1}", part) for part in one["url"]["path"]))
        for one in of
    }


def test_the_collection_is_what_the_documents_of_today_give(today: list[Service]) -> None:
    assert COLLECTION.read_text() == written(today), "The documents have changed. Run: make postman"


def test_every_operation_of_the_three_services_has_a_request(today: list[Service]) -> None:
    for service, folder in zip(today, KEPT["item"], strict=True):
        paths = service.document["paths"].items()

        assert folder["name"] == service.name
        assert asked(folder) == {(method, path) for path, operations in paths for method in operations}


def test_a_changed_document_gives_another_collection(today: list[Service]) -> None:
    before = collection(today)
    today[0].document["paths"]["/status"]["get"]["responses"]["418"] = {"description": "A teapot."}

    assert collection(today) != before


def test_every_request_has_a_script_and_every_variable_is_known() -> None:
    known = {variable["key"] for variable in KEPT["variable"]} | {"$guid"}

    for item in requests(KEPT):
        script = [event for event in item["event"] if event["listen"] == "test"]
        assert sum("pm.test" in line for line in script[0]["script"]["exec"]) == 4, item["name"]
    assert set(re.findall(r"\{\{([^{}]+)\}\}", COLLECTION.read_text())) <= known


def test_what_a_token_opens_carries_it_and_no_other_request_does() -> None:
    for item in requests(KEPT):
        path = item["request"]["url"]["path"][0]
        needs = path in ("next", "reset", "add", "train", "predict_learn", "management")
        assert ("auth" in item["request"]) == (needs or item["name"] == "Give feedback on a prediction"), item["name"]


def test_no_secret_and_no_host_but_this_machine_is_in_it() -> None:
    values = {variable["key"]: variable["value"] for variable in KEPT["variable"]}

    assert values["admin_token"] == ""
    assert [values[f"{name}_url"] for name in ("ingestion", "features", "api")] == [
        "http://127.0.0.1:8002",
        "http://127.0.0.1:8001",
        "http://127.0.0.1:8000",
    ]


def test_what_npm_installs_is_locked_by_content_and_from_no_named_place() -> None:
    lock = json.loads((REPOSITORY / "postman" / "package-lock.json").read_text())
    installed = {name: package for name, package in lock["packages"].items() if name}

    assert "node_modules/newman" in installed
    assert all("integrity" in package and "resolved" not in package for package in installed.values())
