"""Logs a run in MLflow for every decision: its figures, `decision.json` and the report.

This happens after the aliases have moved, so an MLflow that fails keeps none of them from moving; the next run of the
job logs what is missing. Postgres records that a decision is logged, and its run has a key in MLflow, so it is logged
once, wherever a job was killed.
"""

import tempfile
from datetime import UTC, datetime, time
from pathlib import Path

from core.config.tasks import Task
from core.errors import ConfigurationError, RegistryUnreachableError
from core.jobs import run_keys
from core.jobs.context import JobContext
from core.logs import get_log
from training.ledger import decisions
from training.ledger.decisions import Decision
from training.registry.base import MetricPoint, RunRecord, RunTracker
from training.registry.factory import open_tracker
from training.reports import decision_curves, decision_json, decision_page, explanations, publication_log, reproduce


def complete(at: JobContext, task: Task, *, holds: bool = True) -> int:
    """Log the decisions of a task that are not logged yet, and return how many; warn when MLflow fails.

    `holds`: whether HOLD decisions are logged as well. Raises BusyError when the lease was lost.
    """
    missing = publication_log.missing(at.engine, task.name, holds=holds)
    logged = 0
    # The aliases have moved by now: what fails here must not make the job fail.
    try:
        tracking = open_tracker(at.settings, task.name) if missing else None
        for number in missing:
            decision = decisions.find(at.engine, number)
            if tracking is not None and decision is not None and reproduce.is_of_gate(decision):
                _log(at, tracking, number, decision)
                logged += 1
    except (RegistryUnreachableError, ConfigurationError) as error:
        get_log("training.promote").warning(
            f"{error.problem} {len(missing) - logged} decisions are not logged; the next run logs them.", task=task.name
        )
    return logged


def _log(at: JobContext, tracking: RunTracker, number: int, decision: Decision) -> None:
    drawn = decision_curves.read(at.engine, decision)
    files = {
        decision_json.NAME: decision_json.content(decision),
        decision_page.NAME: decision_page.page(decision, drawn),
    }
    key = f"decision/{decision.task}/{number}/{decision.evidence_hash}"
    run_id = tracking.finished(key)
    # A job that was killed between the run and the record finds its finished run here.
    if run_id is None:
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                (Path(scratch) / name).write_bytes(content)
            run_id = tracking.log(_record(key, number, decision, Path(scratch))).run_id
        tracking.finish(run_id)
    logged = {
        "run": run_id,
        "files": {name: reproduce.sha256(content) for name, content in files.items()},
        "rows": drawn.digests,
        "drawn_by": publication_log.drawn_by(),
    }
    with at.writing() as opened:
        run_keys.settle(opened, publication_log.key(decision, number), logged)


def _record(key: str, number: int, decision: Decision, folder: Path) -> RunRecord:
    evidence = decision.evidence
    tags = {
        "decision": str(number),
        "outcome": decision.outcome,
        "reason": decision.reason,
        "champion": decision.champion or "",
        "challenger": decision.challenger or "",
        "evidence_hash": decision.evidence_hash,
        "series": decision.series,
    }
    params = {"rule": evidence["gate"]["rule"], "alpha": evidence["gate"]["alpha"], "rows": evidence["rows"]}
    return RunRecord(
        key,
        f"decision {number}: {decision.session_date} {decision.outcome}",
        f"{explanations.why(decision)} {explanations.after(decision)}",
        tags,
        {name: str(value) for name, value in params.items()},
        _points(decision),
        folder,
    )


def _points(decision: Decision) -> list[MetricPoint]:
    """Return the metrics: mean losses, and each challenger's evidence, alone and shared; the step: scored rows."""
    evidence = decision.evidence
    at = int(datetime.combine(decision.session_date, time(), tzinfo=UTC).timestamp() * 1000)
    figures = {f"mean_loss.{name}": mean for name, mean in evidence["mean_loss"].items()}
    for one in evidence["comparisons"]:
        figures |= {f"evidence.{one['challenger']}": one["e_value"], f"shared.{one['challenger']}": one["shared"]}
    return [
        # MLflow allows no "@" in a metric's name.
        MetricPoint(name.replace("@", "/"), value, evidence["rows"], max(at, 0))
        for name, value in figures.items()
        if value is not None
    ]
