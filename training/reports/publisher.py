"""A run in MLflow for every decision: its figures, `decision.json` and the report.

It is written after the aliases have moved, and keeps none of them from moving. What could not be logged is logged by
the next run of the job. A decision has a mark in Postgres when it is logged, and its run a key in MLflow, so it is
logged once, wherever a job was killed.
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
from training.registry.tracking import Point, Record, Tracking
from training.reports import decision_curves, decision_json, decision_page, explanations, publication_log, reproduce


def complete(at: JobContext, task: Task, *, holds: bool = True) -> int:
    """Logs the decisions of a task that were not logged yet, and returns how many. An MLflow that fails is a warning.

    `holds`: those that moved nothing as well. Raises BusyError when the lease was lost.
    """
    missing = publication_log.missing(at.engine, task.name, holds=holds)
    logged = 0
    try:
        tracking = Tracking.open(at.settings, task, None) if missing else None
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


def _log(at: JobContext, tracking: Tracking, number: int, decision: Decision) -> None:
    drawn = decision_curves.read(at.engine, decision)
    files = {
        decision_json.NAME: decision_json.content(decision),
        decision_page.NAME: decision_page.page(decision, drawn),
    }
    key = f"decision/{decision.task}/{number}/{decision.evidence_hash}"
    run_id = tracking.finished(key)
    if run_id is None:
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                (Path(scratch) / name).write_bytes(content)
            run_id = tracking.log(_record(key, number, decision, Path(scratch))).run_id
        tracking.finish(run_id)
    mark = {
        "run": run_id,
        "files": {name: reproduce.sha256(content) for name, content in files.items()},
        "rows": drawn.digests,
        "drawn_by": publication_log.drawn_by(),
    }
    with at.writing() as connection:
        run_keys.settle(connection, publication_log.key(decision, number), mark)


def _record(key: str, number: int, decision: Decision, folder: Path) -> Record:
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
    return Record(
        key,
        f"decision {number}: {decision.session_date} {decision.outcome}",
        f"{explanations.why(decision)} {explanations.after(decision)}",
        tags,
        {name: str(value) for name, value in params.items()},
        _points(decision),
        folder,
    )


def _points(decision: Decision) -> list[Point]:
    """The mean losses, and the evidence of each challenger with what it is worth among all; the step: scored rows."""
    evidence = decision.evidence
    at = int(datetime.combine(decision.session_date, time(), tzinfo=UTC).timestamp() * 1000)
    figures = {f"mean_loss.{name}": mean for name, mean in evidence["mean_loss"].items()}
    for one in evidence["comparisons"]:
        figures |= {f"evidence.{one['challenger']}": one["e_value"], f"shared.{one['challenger']}": one["shared"]}
    return [
        Point(name.replace("@", "/"), value, evidence["rows"], max(at, 0))
        for name, value in figures.items()
        if value is not None
    ]
