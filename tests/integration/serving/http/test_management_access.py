"""Every management endpoint wants an administrator, says so in the document, and reads nothing before."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.serving.guarded import bearer, token
from tests.support.serving.managed import Managed, managed_without_mlflow

ROUTES = {
    ("GET", "/management/tasks/<task>/versions"),
    ("POST", "/management/tasks/<task>/promote"),
    ("POST", "/management/tasks/<task>/rollback"),
    ("GET", "/management/tasks/<task>/ledger"),
    ("POST", "/management/tasks/<task>/reload"),
    ("POST", "/management/tasks/<task>/pause"),
    ("POST", "/management/tasks/<task>/resume"),
    ("GET", "/management/tasks/<task>/quarantine"),
    ("POST", "/management/tasks/<task>/quarantine/<id>/release"),
    ("GET", "/management/tasks/<task>/configuration"),
    ("PUT", "/management/tasks/<task>/configuration"),
    ("POST", "/management/tasks/<task>/configuration/restore"),
    ("GET", "/management/audit"),
}


@pytest.fixture
def at(settings: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Managed]:
    with managed_without_mlflow(settings, engine, tmp_path / "tasks") as at:
        yield at


def test_no_endpoint_is_open_to_anybody_but_administrators(at: Managed) -> None:
    trainer = bearer(token(at.engine, "ci"))
    rules = [rule for rule in at.api.client.application.url_map.iter_rules() if rule.rule.startswith("/management")]
    known = {(method, rule.rule) for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert known == ROUTES

    for method, rule in sorted(known):
        path = rule.replace("<task>", "live").replace("<id>", "1")
        assert at.api.client.open(path, method=method).status_code == 401, path
        assert at.api.client.open(path, method=method, headers=bearer("ct_wrong")).status_code == 401, path
        assert at.api.client.open(path, method=method, headers=trainer).status_code == 403, path
    assert at.audited() == [("test", "token create", "done")] * 2


def test_the_document_tells_the_lock_and_every_problem(at: Managed) -> None:
    document = at.api.client.get("/openapi.json").get_json()

    assert "bearer" in document["components"]["securitySchemes"]
    for method, rule in ROUTES:
        operation = document["paths"][rule.replace("<", "{").replace(">", "}")][method.lower()]
        assert operation["security"] == [{"bearer": []}]
        assert operation["tags"] == ["management"]
        wanted = {"401", "403", "422", "429", "500", "503"}
        wanted |= {"404"} if "{task}" in rule else set()
        wanted |= {"400", "404", "413", "415"} if method != "GET" else set()
        assert wanted <= set(operation["responses"]), rule


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ("{", "application/json", 400),
        ("{}", "application/json", 422),
        ('{"why": ""}', "application/json", 422),
        ('{"why": "a\\u0000b"}', "application/json", 422),
        ('{"why": "\\ud800"}', "application/json", 422),
        ('{"why": "good", "wy": 1}', "application/json", 422),
        ('{"why": "good"}', "text/plain", 415),
    ],
)
def test_a_change_without_a_reason_is_refused(at: Managed, body: str, kind: str, status: int) -> None:
    response = at.api.client.post(f"{at.base}/reload", data=body, content_type=kind, headers=at.admin)

    assert (response.status_code, response.mimetype) == (status, "application/problem+json")


def test_the_audit_log_is_read_newest_first_and_page_by_page(at: Managed) -> None:
    for _ in range(3):
        at.post(f"{at.base}/reload", why="again")

    first = at.get("/management/audit?limit=2")["rows"]
    second = at.get(f"/management/audit?limit=1000&before={first[-1]['id']}")["rows"]

    mine = [row for row in [*first, *second] if row["action"] == "reload"]
    assert [row["detail"]["reload"] for row in mine] == [3, 2, 1]
    assert {row["who"] for row in mine} == {"anna"}
    assert all(row["id"] < first[-1]["id"] for row in second)
    assert at.api.client.get("/management/audit?before=0", headers=at.admin).status_code == 422
