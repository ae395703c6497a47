"""Pauses and resumes the learning of pushed tasks, and releases what was put into quarantine."""

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from core.auth import audit
from core.config.settings import Settings
from core.config.task_files import task_names
from core.db.engine import transaction
from core.errors import BusyError, ContenderError
from serving.pushed.learning import Learning
from serving.pushed.tasks import LoadedTask
from training.event_log import quarantine
from training.event_log.events import EventConflictError, NewEvent

Switch = Literal["pause", "resume"]


class NotPushedError(ContenderError):
    """A task whose rows come from a source: it has no log of pushed rows, and nothing learns as they come."""


class ReleasedError(ContenderError):
    """A row of the quarantine that was released before."""


@dataclass(frozen=True)
class LearningChange:
    """Whether the learning of a task is paused, since which event, and whether that was changed now."""

    is_paused: bool
    seq: int | None
    changed: bool


def pushed(learning: Learning, settings: Settings, task: str) -> LoadedTask:
    """Finds a pushed task. Raises NotPushedError for one that has a source, NotFoundError for none."""
    if task in task_names(settings.tasks):
        raise NotPushedError(
            f"The rows of {task!r} come from a source; its contenders learn in its training job, not as rows are sent.",
            "To pause it, do not start its jobs.",
        )
    return learning.task(task)


def switch_learning(engine: sa.Engine, loaded: LoadedTask, switch: Switch, *, who: str, why: str) -> LearningChange:
    """Pauses or resumes learning by an event in the log, at which every replica does so; nothing if it is so already.

    While learning is paused, rows are stored, predicted and scored; when it is resumed they are learned in order.
    """
    # At the head: another worker may have switched it a moment ago.
    with loaded.running.at_head() as learner:
        paused_at = learner.paused_at
    is_so = (paused_at is not None) == (switch == "pause")
    seq = paused_at if is_so else _append(loaded, NewEvent(switch))
    detail = {"task": loaded.task.name, "event_id": seq, "why": why}
    with transaction(engine) as connection:
        audit.record(connection, who=who, action=switch, outcome="nothing to do" if is_so else "done", detail=detail)
    return LearningChange(switch == "pause", seq, not is_so)


def release(engine: sa.Engine, loaded: LoadedTask, number: int, *, who: str, why: str) -> int:
    """Appends a quarantined row to the log after all, and returns its number there.

    Raises:
        NotFoundError: there is no such row.
        ReleasedError: it was released before.
        EventConflictError: its id was used since with other content.
    """
    try:
        row = quarantine.find(engine, loaded.log, number)
    except BusyError as error:
        raise ReleasedError(error.problem, error.remedy) from None
    event = row.event
    # A row without an id gets one: were this interrupted before the release is recorded, a second try finds it.
    event_id = event.event_id or f"released-{number}"
    seq = _append(loaded, NewEvent(event.kind, event.features, event.target, event_id, event.series_id))
    detail = {"task": loaded.task.name, "row": number, "event_id": seq, "why": why}
    with transaction(engine) as connection:
        quarantine.release(connection, number, seq, by=who, why=why)
        audit.record(connection, who=who, action="release", outcome="done", detail=detail)
    return seq


def _append(loaded: LoadedTask, event: NewEvent) -> int:
    (answer,) = loaded.committer.submit([event])
    if isinstance(answer, EventConflictError):
        raise answer
    return answer.seq
