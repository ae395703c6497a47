"""The learning endpoints without HTTP: read rows, validate, commit and learn them, answer in JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from core.errors import ContenderError, NotFoundError
from serving.pushed.parsing import Action, InvalidRowsError, Rows, read_forecast_request, read_rows
from serving.pushed.tasks import LoadedTask
from training.event_log import quarantine
from training.event_log import store as event_log
from training.event_log.events import EventConflictError, NewEvent
from training.event_log.validation import Rejection
from training.learners.group_commit import Ack
from training.models.online import DEFAULT_SERIES

TRAINED = {"message": "Model trained successfully"}


class QuarantinedError(ContenderError):
    """A row that was rejected: it is kept in the quarantine with its reason, and not learned."""


LearnResult = float | None | ContenderError


@dataclass(frozen=True)
class LearningAnswer:
    """An answer: its HTTP status, and a body for JSON. A single row that was rejected is raised instead."""

    status: Literal[200, 207]
    body: Any


class Learning:
    """The learning endpoints of one worker.

    Args:
        problem: makes the JSON of an error that takes the place of a row's answer in a list.
    """

    def __init__(
        self, engine: sa.Engine, tasks: Mapping[str, LoadedTask], problem: Callable[[ContenderError], Mapping[str, Any]]
    ) -> None:
        self.engine = engine
        self.tasks = tasks
        self._problem = problem

    def task(self, name: str) -> LoadedTask:
        """The pushed task of this name. Raises NotFoundError."""
        found = self.tasks.get(name)
        if found is None:
            raise NotFoundError(
                f"There is no task {name[:60]!r} to which rows are pushed.", f"There are: {', '.join(self.tasks)}."
            )
        return found

    def handle(self, action: Action, task: str, body: bytes) -> LearningAnswer:
        """One request to /predict, /train or /predict_learn; `body` is JSON."""
        loaded = self.task(task)
        rows = read_rows(body, action)
        outcomes = self._submit(loaded, rows, action)
        if action == "predict":
            outcomes = _as_served(loaded, rows, outcomes)
        if not rows.is_list:
            if isinstance(outcomes[0], ContenderError):
                raise outcomes[0]
            return LearningAnswer(200, _answer_of(loaded, action, outcomes[0]))
        answers = [
            self._problem(outcome) if isinstance(outcome, ContenderError) else _answer_of(loaded, action, outcome)
            for outcome in outcomes
        ]
        return LearningAnswer(207 if any(isinstance(outcome, ContenderError) for outcome in outcomes) else 200, answers)

    def forecast(self, task: str, body: bytes) -> LearningAnswer:
        """One request to /predict_many."""
        loaded = self.task(task)
        requested = read_forecast_request(body)
        values = loaded.served().predictor.forecast(requested.features, requested.series_id, requested.steps)
        steps = [{"step": step, "value": value} for step, value in enumerate(values, 1)]
        return LearningAnswer(200, {"forecast": steps})

    def metrics(self, task: str) -> dict[str, Any]:
        """The answer of /model_metrics: the metrics of every series at the log's head, and what the model is."""
        loaded = self.task(task)
        with loaded.running.at_head() as learner:
            report = learner.report() or {DEFAULT_SERIES: learner.empty_report()}
            return {**report, "model_info": _info(loaded)}

    def _submit(self, loaded: LoadedTask, rows: Rows, action: Action) -> Sequence[LearnResult]:
        events = rows.events
        if action == "predict" and not any(event.event_id for event in events):
            # Without an id no label can refer to a row: nothing of it is kept, and Postgres is not needed.
            return [self._predict(loaded, event) for event in events]
        rejections = loaded.validator.validate(loaded.running.learner.stats, events)
        if not any(rejections):
            return [_outcome(answer) for answer in loaded.committer.submit(events)] if events else []
        rejections = self._without_known(loaded, events, rejections)
        admitted = [event for event, found in zip(events, rejections, strict=True) if found is None]
        refused = [(event, found) for event, found in zip(events, rejections, strict=True) if found is not None]
        if refused:
            quarantine.add(self.engine, loaded.log, refused)
        answers = iter(loaded.committer.submit(admitted) if admitted else ())
        return [
            _refused(event, found) if found else _outcome(next(answers))
            for event, found in zip(events, rejections, strict=True)
        ]

    def _without_known(
        self, loaded: LoadedTask, events: Sequence[NewEvent], rejections: Sequence[Rejection | None]
    ) -> list[Rejection | None]:
        """The rejections, less those of rows that are in the log already: they teach nothing new, and have answers."""
        if not any(found and event.event_id for event, found in zip(events, rejections, strict=True)):
            return list(rejections)
        with event_log.session(self.engine) as connection:
            known = event_log.holding(connection, loaded.log, events)
        return [None if is_known else found for found, is_known in zip(rejections, known, strict=True)]

    def _predict(self, loaded: LoadedTask, event: NewEvent) -> LearnResult:
        """A prediction of which nothing is kept. The row is not checked for outliers, since nothing learns from it."""
        found = loaded.validator.undeclared(event)
        return (
            InvalidRowsError(found.detail) if found else loaded.running.predict(event.features or {}, event.series_id)
        )


def encode(body: Any) -> bytes:
    """The bytes of a JSON body."""
    return msgspec.json.encode(body) + b"\n"


def _outcome(answer: Ack | EventConflictError) -> LearnResult:
    return answer if isinstance(answer, EventConflictError) else answer.prediction


def _as_served(loaded: LoadedTask, rows: Rows, outcomes: Sequence[LearnResult]) -> Sequence[LearnResult]:
    """The predictions of a frozen champion instead of the running learner's, which the log keeps."""
    served = loaded.served()
    if served.mode == "live":
        return outcomes
    return [
        outcome
        if isinstance(outcome, ContenderError)
        else served.predictor.predict(event.features or {}, event.series_id)
        for event, outcome in zip(rows.events, outcomes, strict=True)
    ]


def _refused(event: NewEvent, found: Rejection) -> QuarantinedError:
    name = f" {event.event_id}" if event.event_id else ""
    return QuarantinedError(
        f"The row{name} is refused ({found.reason}) and was not learned. {found.detail}",
        "It is kept in the quarantine, from which an administrator can release it.",
    )


def _answer_of(loaded: LoadedTask, action: Action, value: float | None) -> Mapping[str, Any]:
    if action == "train":
        return TRAINED
    if not loaded.is_binary:
        return {"prediction": value}
    return {"prediction": None if value is None else int(value >= 0.5), "probability": value}


def _info(loaded: LoadedTask) -> dict[str, Any]:
    """`last_event_id` is the event up to which the metrics go; a `frozen` model has learned up to an earlier one."""
    learner, served = loaded.running.learner, loaded.served()
    return {
        "model_name": loaded.contender,
        "model_type": type(learner.model).__name__,
        "task": loaded.task.name,
        "last_event_id": learner.seq,
        "served": served.mode,
        "served_last_event_id": served.last_event_id,
        "model_version": served.version,
        "rows_learned": learner.rows_learned,
        "rows_refused": learner.rows_refused,
        "trouble": learner.trouble or None,
        "learning": "on" if learner.paused_at is None else "paused",
    }
