"""Services asked whatever their own document allows, and held to it: no fault, no answer that is not documented."""

from collections import defaultdict
from collections.abc import Callable

import schemathesis
from flask_openapi3.openapi import OpenAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as some
from schemathesis.specs.openapi.checks import positive_data_acceptance

Fit = Callable[[schemathesis.Case, some.DataObject], None]
"""Turns what was made up to what there is, in place, by draws of its own."""


def statuses(
    app: OpenAPI, paths: str, fit: Fit, *, times: int, headers: dict[str, str] | None = None
) -> dict[str, set[int]]:
    """The statuses by which each operation below `paths` (a regular expression) answered, asked so many times.

    Fails on an answer that the document does not know. That a body which fits its schema is accepted is not demanded:
    a row may be an outlier, and a version may not be there.
    """
    met: defaultdict[str, set[int]] = defaultdict(set)
    document = schemathesis.openapi.from_wsgi("/openapi.json", app).include(path_regex=paths)
    for found in document.get_all_operations():
        operation = found.ok()

        @trials(
            max_examples=times, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy(), data=some.data())
        def keeps_to_it(case: schemathesis.Case, data: some.DataObject) -> None:
            fit(case, data)
            answer = case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
            met[case.operation.label].add(answer.status_code)

        keeps_to_it()
    return met
