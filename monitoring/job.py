"""The monitor job, `python -m monitoring`: the age of a task's data, the champion, and the loss of its predictions.

It changes nothing. What it finds is one line in the log; a finding is no failure, so it ends with 0 all the same.
"""

from dataclasses import dataclass
from datetime import date

from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import open_engine
from core.jobs.clock import Clock
from core.logs import get_log
from ingestion.store import observations
from monitoring import realised_loss
from monitoring.realised_loss import ServedAnswer
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION

# Below so many scored dates a mean says nothing: the state is `insufficient`.
ENOUGH = 60


@dataclass(frozen=True)
class MonitorReport:
    """What was found. `state`: no_data, no_champion, stale, insufficient, worse_than_baseline or ok."""

    state: str
    newest: date | None
    age_days: int | None
    champion: int | None
    metric: str
    served: ServedAnswer

    def sentence(self) -> str:
        """One line for a person."""
        champion = "no champion" if self.champion is None else f"version {self.champion} is champion"
        data = "no data" if self.newest is None else f"data up to {self.newest}, {self.age_days} days old"
        return f"{self.state}: {data}; {champion}; {self._score()}"

    def _score(self) -> str:
        if self.served.loss is None:
            return f"none of its predictions has a label yet (n=0 of at least {ENOUGH})"
        return (
            f"{self.metric} of its predictions {self.served.loss:.4f}, of the baseline {self.served.baseline_loss:.4f} "
            f"(n={self.served.n} of at least {ENOUGH})"
        )


def run(settings: Settings, task: Task, clock: Clock) -> MonitorReport:
    """Look at one task, and log a warning of what needs attention."""
    now = clock.now()
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        active = observations.active(engine, task.name)
        newest = None if active is None else observations.watermark(engine, active.series)
        alias = ledger.alias_states(engine, task.name).get(CHAMPION)
        score = ServedAnswer(0, None, None) if active is None else realised_loss.score(engine, task, active.series, now)
    age = None if newest is None else (now.date() - newest).days
    champion = None if alias is None else alias.version
    report = MonitorReport(state(task, age, champion, score), newest, age, champion, task.metric, score)
    if report.state not in ("ok", "insufficient"):
        get_log("monitoring").warning(REMEDIES[report.state], task=task.name, state=report.state)
    return report


REMEDIES = {
    "no_data": "Nothing is stored of this task's series: see the last run of its ingestion.",
    "no_champion": "There is no champion: see `contender history TASK` for the reason.",
    "stale": "The newest value is older than the task's stale_after_days: see the last run of its ingestion.",
    "worse_than_baseline": "The served predictions lost more than the baseline's: see `contender history TASK`.",
}


def state(task: Task, age_days: int | None, champion: int | None, score: ServedAnswer) -> str:
    """The most serious finding; `insufficient` while too few predictions have labels."""
    if age_days is None:
        return "no_data"
    if champion is None:
        return "no_champion"
    if age_days > task.stale_after_days:
        return "stale"
    if score.loss is None or score.baseline_loss is None or score.n < ENOUGH:
        return "insufficient"
    return "worse_than_baseline" if score.loss > score.baseline_loss else "ok"
