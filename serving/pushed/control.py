"""Pauses and resumes the learning of pushed tasks, and releases what was put into quarantine."""

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from core.auth import audit
from core.config.settings import Settings
from core.config.task_files import task_names
from core.db.engine import reachable
from core.errors import BusyError, ContenderError
from serving.pushed.learning import Learning
from serving.pushed.tasks import LoadedTask
from training.event_log import quarantine
from training.event_log.events import EventConflictError, NewEvent

Turn = Literal["pause", "resume"]


class NotPushedError(ContenderError):
    """A task whose rows come from a source: no log of pushed rows, and nothing that learns as they come."""


class ReleasedError(ContenderError):
    """A row of the quarantine that is in the log already."""


@dataclass(frozen=True)
class Learns:
    """Whether a task's model learns, since which event, and whether that was changed now."""

    is_paused: bool
    seq: int | None
    changed: bool


def pushed(learning: Learning, settings: Settings, task: str) -> LoadedTask:
    """The pushed task. Raises NotPushedError for one that has a source, NotFoundError for none."""
    if task in task_names(settings.tasks):
        raise NotPushedError(
            f"The rows of {task!r} come from a source; its contenders learn in its training job, not as rows are sent.",
            "To pause it, do not start its jobs.",
        )
    return learning.task(task)


def turn(engine: sa.Engine, loaded: LoadedTask, which: Turn, *, who: str, why: str) -> Learns:
    """Pauses or resumes learning by an event in the log, at which every replica does so; nothing where it is so.

    While it is paused rows are taken, predicted and scored; when it is resumed they are learned, in their order.
    """
    with loaded.running.at_head() as learner:
        paused_at = learner.paused_at
    is_so = (paused_at is not None) == (which == "pause")
    seq = paused_at if is_so else _append(loaded, NewEvent(which))
    detail = {"task": loaded.task.name, "event_id": seq, "why": why}
    with reachable(), engine.begin() as connection:
        audit.record(connection, who=who, action=which, outcome="nothing to do" if is_so else "done", detail=detail)
    return Learns(which == "pause", seq, not is_so)


def release(engine: sa.Engine, loaded: LoadedTask, number: int, *, who: str, why: str) -> int:
    """Lets a refused row into the log after all, and returns its number there.

    A row that came without an id gets one of its own, so that it enters once, whatever happens before that is noted.
    Raises NotFoundError, ReleasedError, and EventConflictError when its id was used since with other content.
    """
    try:
        row = quarantine.find(engine, loaded.log, number)
    except BusyError as error:
        raise ReleasedError(error.problem, error.remedy) from None
    draft = row.draft
    event_id = draft.event_id or f"released-{number}"
    seq = _append(loaded, NewEvent(draft.kind, draft.features, draft.target, event_id, draft.series_id))
    detail = {"task": loaded.task.name, "row": number, "event_id": seq, "why": why}
    with reachable(), engine.begin() as connection:
        quarantine.release(connection, number, seq, who=who, why=why)
        audit.record(connection, who=who, action="release", outcome="done", detail=detail)
    return seq


def _append(loaded: LoadedTask, draft: NewEvent) -> int:
    (answer,) = loaded.committer.take([draft])
    if isinstance(answer, EventConflictError):
        raise answer
    return answer.seq
