"""What exit codes mean to Kubernetes is what they mean in core/jobs/runner.py."""

import yaml

from core.jobs.runner import EXIT_CODES, TRY_AGAIN
from k8s.failure_policy import FILES, patch, policy


def test_the_files_are_what_the_table_gives() -> None:
    for file, path in FILES.items():
        assert file.read_text() == patch(path), f"{file.name} is older than the table: python -m k8s.failure_policy"


def test_every_code_but_75_fails_the_job_at_once_and_75_is_tried_again() -> None:
    rules = {rule["action"]: rule.get("onExitCodes", {}) for rule in policy()["rules"]}

    assert rules["FailJob"]["values"] == sorted(set(EXIT_CODES.values()) - {TRY_AGAIN}) == [42, 43]
    assert rules["Count"]["values"] == [75]
    assert {yaml.safe_load(file.read_text())[0]["path"] for file in FILES} == set(FILES.values())
