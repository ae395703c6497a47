"""What the requests need beside the documents: values that one answer gives to the next request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

VARIABLES: Mapping[str, Any] = {
    "row_id": "d-1",
    "value": 112,
    "quarantined_id": 1,
    "champion_version": 1,
    "configuration_number": 0,
    "declaration": {},
    "counted": 1,
}
"""The variables and their first values: text, or what is written in a body without quotation marks."""

IDS: Mapping[str, str] = {"d-1": "{{row_id}}", "d-2": "{{$guid}}"}
"""Ids of the documents' examples, and their replacements: a row counts once, so every run takes new ids."""


@dataclass(frozen=True)
class Extra:
    """A request that shows what no example of the document does, and the status that it is answered by."""

    name: str
    body: Mapping[str, Any]
    query: Mapping[str, str]
    status: int


@dataclass(frozen=True)
class Step:
    """How an operation's requests differ from its examples.

    `body`: fields that take a variable. `path`: parameters that take another value than their example. `prepares`:
    variables that are set by JavaScript before a request whose body holds them; `remembers`: those that are set after
    a success, whose body is `answer`.
    """

    body: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    prepares: Mapping[str, str] = field(default_factory=dict)
    remembers: Mapping[str, str] = field(default_factory=dict)
    extras: Sequence[Extra] = ()


_PHISHING = {"task": "phishing"}
_TASK = "/management/tasks/{task}"

STEPS: Mapping[tuple[str, str], Step] = {
    ("GET", "/next"): Step(remembers={"value": "answer.target"}),
    ("POST", "/add"): Step(body={"value": "value"}),
    ("POST", "/predict"): Step(prepares={"row_id": 'pm.variables.replaceIn("{{$guid}}")'}),
    ("POST", "/predict_learn"): Step(
        extras=(
            Extra("A yes or no", {"features": {"is_popular": 0.5}, "target": 1}, _PHISHING, 200),
            Extra("A row that is quarantined", {"features": {"is_popular": 0.5}, "target": 0.5}, _PHISHING, 422),
        )
    ),
    ("GET", f"{_TASK}/versions"): Step(
        remembers={"champion_version": 'answer.versions.find(one => one.aliases.includes("champion")).version'}
    ),
    ("POST", f"{_TASK}/promote"): Step(body={"version": "champion_version"}),
    ("POST", f"{_TASK}/rollback"): Step(body={"to": "champion_version"}),
    ("GET", f"{_TASK}/quarantine"): Step(remembers={"quarantined_id": "answer.rows[0].id"}),
    ("POST", f"{_TASK}/quarantine/{{id}}/release"): Step(path={"id": "{{quarantined_id}}"}),
    ("GET", f"{_TASK}/configuration"): Step(
        remembers={
            "configuration_number": "answer.number",
            "declaration": "JSON.stringify(answer.declaration)",
            "counted": """answer.origin === "file" ? '"file"' : answer.number""",
        }
    ),
    ("PUT", f"{_TASK}/configuration"): Step(
        body={"declaration": "declaration", "expected_number": "configuration_number"}
    ),
    ("POST", f"{_TASK}/configuration/restore"): Step(body={"to": "counted"}),
}
"""By method and path; operations that are not here take their examples as they are."""
