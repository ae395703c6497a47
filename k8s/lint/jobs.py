"""Rules for Jobs, CronJobs and Argo's workflows: no two runs at a time, a deadline, and retries by exit code.

The exit codes are those of `core.jobs.runner`: only 75 is worth another try.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from core.jobs.runner import EXIT_CODES, TRY_AGAIN
from k8s.lint.documents import Document, job_spec, name_of, spec_of, workflow_spec

FINAL: Final = sorted(set(EXIT_CODES.values()) - {TRY_AGAIN})
"""Exit codes after which another try would end the same way: 42 and 43."""
RETRY: Final = f'lastRetry.exitCode == "{TRY_AGAIN}"'
"""Argo's condition for another try."""
_CRON: Final = ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
_JOB: Final = ("activeDeadlineSeconds", "ttlSecondsAfterFinished", "backoffLimit")


def faults(documents: Sequence[Document]) -> Iterator[str]:
    """The faults of CronJobs, Jobs and Argo's workflows."""
    for document in documents:
        name, spec = name_of(document), spec_of(document)
        if document.get("kind") in ("CronJob", "CronWorkflow"):
            yield from _schedule(name, spec, "timeZone" if document["kind"] == "CronJob" else "timezone")
        job = job_spec(document)
        if job is not None:
            yield from _job(name, job)
        workflow = workflow_spec(document)
        if workflow is not None:
            yield from _workflow(name, workflow)


def _schedule(name: str, spec: Mapping[str, Any], zone: str) -> Iterator[str]:
    if spec.get(zone) != "Etc/UTC":
        yield f"{name}: set {zone}: Etc/UTC; in a zone with summer time some days have 23 or 25 hours."
    if not (spec.get("schedule") or spec.get("schedules")):
        yield f"{name}: give it a schedule."
    if spec.get("concurrencyPolicy") != "Forbid":
        yield f"{name}: set concurrencyPolicy: Forbid, so that no run begins before the last one has ended."
    for key in _CRON:
        if spec.get(key) is None:
            yield f"{name}: set {key}."


def _job(name: str, spec: Mapping[str, Any]) -> Iterator[str]:
    for key in _JOB:
        if spec.get(key) is None:
            yield f"{name}: set {key} of the job."
    for key in ("activeDeadlineSeconds", "backoffLimit"):
        if spec.get(key) == 0:
            yield f"{name}: let {key} be more than 0: {TRY_AGAIN} means another try."
    restart = spec.get("template", {}).get("spec", {}).get("restartPolicy")
    if restart != "Never":
        yield f"{name}: set restartPolicy: Never; podFailurePolicy is only allowed with it."
    yield from _failure_policy(name, spec.get("podFailurePolicy", {}).get("rules", []))


def _failure_policy(name: str, rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Check the action for each exit code."""
    # Kubernetes takes the first rule that matches; a failure that none matches is counted and tried again.
    for code in FINAL:
        if _action(rules, code) != "FailJob":
            yield f"{name}: let podFailurePolicy answer exit code {code} with FailJob: trying again is of no use."
    if _action(rules, TRY_AGAIN) not in (None, "Count"):
        yield f"{name}: let podFailurePolicy leave exit code {TRY_AGAIN} alone: it means another try."


def _action(rules: Sequence[Mapping[str, Any]], code: int) -> str | None:
    for rule in rules:
        condition = rule.get("onExitCodes")
        if condition and (code in condition.get("values", [])) == (condition.get("operator") == "In"):
            action: str = rule.get("action", "")
            return action
    return None


def _workflow(name: str, spec: Mapping[str, Any]) -> Iterator[str]:
    if spec.get("activeDeadlineSeconds") is None:
        yield f"{name}: set activeDeadlineSeconds of the workflow."
    if not {"secondsAfterCompletion", "secondsAfterSuccess"} & set(spec.get("ttlStrategy", {})):
        yield f"{name}: set ttlStrategy.secondsAfterCompletion of the workflow."
    for template in spec.get("templates", []):
        if "container" not in template:
            continue
        retry = template.get("retryStrategy", {})
        called = f"{name} template {template.get('name', '?')}"
        if "limit" not in retry or retry.get("expression") != RETRY:
            yield f"{called}: set retryStrategy with a limit and the expression {RETRY}; other exit codes are final."
        if retry.get("retryPolicy") not in ("OnFailure", "Always"):
            yield f"{called}: set retryStrategy.retryPolicy: OnFailure, which evaluates its expression."
