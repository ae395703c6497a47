"""What the learning endpoints do: read rows, hold them against the task, commit and learn them, answer in JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from core.errors import ContenderError, NotFoundError
from serving.pushed.parsing import Action, Ahead, InvalidRowsError, Rows, read_ahead, read_rows
from serving.pushed.tasks import LiveTask
from training.event_log import quarantine
from training.event_log import store as event_log
from training.event_log.events import EventConflictError, NewEvent
from training.event_log.validation import Rejection
from training.learners.group_commit import Ack
from training.models.online import DEFAULT_SERIES

TRAINED = {"message": "Model trained successfully"}


class QuarantinedError(ContenderError):
    """A row that was refused: it is kept with its reason, and not learned."""


LearnResult = float | None | ContenderError


@dataclass(frozen=True)
class Said:
    """An answer: its HTTP status, and a body for JSON. A single row that was refused is raised instead."""

    status: Literal[200, 207]
    body: Any


class Learning:
    """The learning endpoints of one worker, without HTTP."""

    def __init__(
        self, engine: sa.Engine, lives: Mapping[str, LiveTask], problem: Callable[[ContenderError], Mapping[str, Any]]
    ) -> None:
        self.engine = engine
        self.lives = lives
        self._problem = problem

    def live(self, task: str) -> LiveTask:
        """The pushed task of this name. Raises NotFoundError."""
        found = self.lives.get(task)
        if found is None:
            raise NotFoundError(
                f"There is no task {task[:60]!r} to which rows are pushed.", f"There are: {', '.join(self.lives)}."
            )
        return found

    def do(self, action: Action, task: str, body: bytes) -> Said:
        """One request to /predict, /train or /predict_learn; `body` is JSON."""
        live = self.live(task)
        rows = read_rows(body, action)
        outcomes = self._take(live, rows, action)
        if action == "predict":
            outcomes = _as_served(live, rows, outcomes)
        if not rows.is_list:
            if isinstance(outcomes[0], ContenderError):
                raise outcomes[0]
            return Said(200, _told(live, action, outcomes[0]))
        told = [
            self._problem(outcome) if isinstance(outcome, ContenderError) else _told(live, action, outcome)
            for outcome in outcomes
        ]
        return Said(207 if any(isinstance(outcome, ContenderError) for outcome in outcomes) else 200, told)

    def ahead(self, task: str, body: bytes) -> Said:
        """One request to /predict_many."""
        live = self.live(task)
        asked: Ahead = read_ahead(body)
        values = live.served().answering.forecast(asked.features, asked.series_id, asked.steps)
        return Said(200, {"forecast": [{"step": step, "value": value} for step, value in enumerate(values, 1)]})

    def figures(self, task: str) -> dict[str, Any]:
        """What /model_metrics tells: the figures of every series at the log's head, and what the model is."""
        live = self.live(task)
        with live.live.at_head() as learner:
            report = learner.report() or {DEFAULT_SERIES: learner.empty_report()}
            return {**report, "model_info": _info(live)}

    def _take(self, live: LiveTask, rows: Rows, action: Action) -> Sequence[LearnResult]:
        drafts = rows.drafts
        if action == "predict" and not any(draft.event_id for draft in drafts):
            return [self._predict(live, draft) for draft in drafts]
        refusals = live.admission.refusals(live.live.learner.ranges, drafts)
        if not any(refusals):
            return [_outcome(answer) for answer in live.intake.take(drafts)] if drafts else []
        refusals = self._but_for_the_known(live, drafts, refusals)
        admitted = [draft for draft, found in zip(drafts, refusals, strict=True) if found is None]
        refused = [(draft, found) for draft, found in zip(drafts, refusals, strict=True) if found is not None]
        if refused:
            quarantine.keep(self.engine, live.log, refused)
        answers = iter(live.intake.take(admitted) if admitted else ())
        return [
            _refused(draft, found) if found else _outcome(next(answers))
            for draft, found in zip(drafts, refusals, strict=True)
        ]

    def _but_for_the_known(
        self, live: LiveTask, drafts: Sequence[NewEvent], refusals: Sequence[Rejection | None]
    ) -> list[Rejection | None]:
        """The refusals without those of rows that are in the log already: they let nothing new in, and have answers."""
        if not any(found and draft.event_id for draft, found in zip(drafts, refusals, strict=True)):
            return list(refusals)
        with event_log.session(self.engine) as connection:
            known = event_log.holding(connection, live.log, drafts)
        return [None if is_known else found for found, is_known in zip(refusals, known, strict=True)]

    def _predict(self, live: LiveTask, draft: NewEvent) -> LearnResult:
        """A prediction of which nothing is kept: it is not held against what came before, for it teaches nothing."""
        found = live.admission.undeclared(draft)
        return InvalidRowsError(found.detail) if found else live.live.predict(draft.features or {}, draft.series_id)


def encode(body: Any) -> bytes:
    """JSON."""
    return msgspec.json.encode(body) + b"\n"


def _outcome(answer: Ack | EventConflictError) -> LearnResult:
    return answer if isinstance(answer, EventConflictError) else answer.prediction


def _as_served(live: LiveTask, rows: Rows, outcomes: Sequence[LearnResult]) -> Sequence[LearnResult]:
    """What a frozen champion says instead of the live learner, whose predictions are those that the log keeps."""
    served = live.served()
    if served.mode == "live":
        return outcomes
    return [
        outcome
        if isinstance(outcome, ContenderError)
        else served.answering.predict(draft.features or {}, draft.series_id)
        for draft, outcome in zip(rows.drafts, outcomes, strict=True)
    ]


def _refused(draft: NewEvent, found: Rejection) -> QuarantinedError:
    name = f" {draft.event_id}" if draft.event_id else ""
    return QuarantinedError(
        f"The row{name} is refused ({found.reason}) and was not learned. {found.detail}",
        "It is kept in the quarantine, from which an administrator can release it.",
    )


def _told(live: LiveTask, action: Action, value: float | None) -> Mapping[str, Any]:
    if action == "train":
        return TRAINED
    if not live.is_binary:
        return {"prediction": value}
    return {"prediction": None if value is None else int(value >= 0.5), "probability": value}


def _info(live: LiveTask) -> dict[str, Any]:
    """`last_event_id`: the event up to which the figures go. Who is `frozen` has learned up to an earlier one."""
    learner, served = live.live.learner, live.served()
    return {
        "model_name": live.contender,
        "model_type": type(learner.model).__name__,
        "task": live.task.name,
        "last_event_id": learner.seq,
        "served": served.mode,
        "served_last_event_id": served.last_event_id,
        "model_version": served.version,
        "rows_learned": learner.rows_learned,
        "rows_refused": learner.rows_refused,
        "trouble": learner.trouble or None,
        "learning": "on" if learner.paused_at is None else "paused",
    }
