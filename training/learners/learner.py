"""A learner: a model, its scores, and the number of the last event of the log that both have had.

It is a function of the log alone: the same events in the same order give the same learner, to the bit. Of each row it
predicts, then scores, then learns.
"""

from collections.abc import Callable, Iterable
from typing import Any

from features.arrays import FeatureRow
from training.event_log.events import Event
from training.event_log.validation import RunningStats
from training.learners.running_metrics import BinaryScores, RegressionScores, Scores
from training.models.base import deserialize, dumps
from training.models.online import DEFAULT_SERIES, Online, TargetKind

_SCORES: dict[str, type[RegressionScores] | type[BinaryScores]] = {"value": RegressionScores, "binary": BinaryScores}

Reread = Callable[[int, int], Iterable[Event]]
"""Reads events once more: those after the first number, up to and with the second."""

MODEL_FAULTS = (ArithmeticError, LookupError, TypeError, ValueError)
"""What a model may raise at a row that it cannot take. The row stays in the log, and every replica skips it."""


class GapError(Exception):
    """An event that does not follow the last one applied: the caller has to read those in between."""


class Learner:
    """One contender on one log, after the event `seq`.

    While learning is paused rows are predicted and scored; when it is resumed, those in between are learned, in order.

    Attributes:
        predictions: by event, those since the newest checkpoint; older ones are in the database.
        paused_at: the event that paused learning; None while it is not paused.
        stats: running statistics of the rows learned, for the outlier guard.
        rows_refused: rows at which the model itself failed; `trouble` is the error of the last.

    """

    def __init__(self, model: Online, outcome: TargetKind) -> None:
        self.model = model
        self.outcome = outcome
        self.seq = 0
        self.rows_learned = 0
        self.rows_refused = 0
        self.trouble = ""
        self.paused_at: int | None = None
        self.stats = RunningStats()
        self.scores: dict[str, Scores] = {}
        self.predictions: dict[int, float | None] = {}

    def apply(self, events: Iterable[Event], reread: Reread) -> None:
        """Goes through events in order; those applied before are skipped. Raises GapError at a missing one."""
        predictions = self.predictions
        for event in events:
            seq = event.seq
            # An event comes twice: once from the commit of this process, once from a read of the log.
            if seq <= self.seq:
                continue
            if seq != self.seq + 1:
                raise GapError(f"event {seq} came after event {self.seq}")
            features, target = event.features, event.target
            if features is None:
                if event.kind in ("pause", "resume"):
                    self._pause_or_resume(event, reread)
            else:
                series = event.series_id or DEFAULT_SERIES
                if event.kind == "label":
                    self._score(series, predictions.get(event.ref_seq or 0, event.predicted), target)
                else:
                    # Before it is learned: the score of a row that the model knows would flatter it.
                    predictions[seq] = value = self.predict(features, series)
                    if event.kind == "row":
                        self._score(series, value, target)
                if target is not None and self.paused_at is None:
                    self._learn(features, target, series)
            self.seq = seq

    def replay(self, events: Iterable[Event]) -> None:
        """Learns from events without predicting or scoring: where only the model at the end is needed."""
        for event in events:
            features, target = event.features, event.target
            if features is not None and target is not None:
                self._learn(features, target, event.series_id or DEFAULT_SERIES)

    def forget_predictions(self, through: int) -> None:
        """Drops the predictions up to an event, once they are stored."""
        self.predictions = {seq: value for seq, value in self.predictions.items() if seq > through}

    def report(self) -> dict[str, dict[str, Any]]:
        """The metrics of every series."""
        return {series: scores.report() for series, scores in self.scores.items()}

    def empty_report(self) -> dict[str, Any]:
        """The metrics of a series without a scored row."""
        return _SCORES[self.outcome]().report()

    def serialize(self) -> bytes:
        """Bytes for `deserialize`: the learner without its predictions, which are stored as rows."""
        held = {name: value for name, value in vars(self).items() if name != "predictions"}
        return dumps(held)

    @classmethod
    def deserialize(cls, content: bytes) -> "Learner":
        """The learner of these bytes. It unpickles: check digest and environment fingerprint first."""
        held = deserialize(content)
        learner = cls(held["model"], held["outcome"])
        vars(learner).update(held)
        return learner

    def predict(self, features: FeatureRow, series: str) -> float | None:
        """The model's prediction of a row, None where it fails at it. Nothing is kept of it."""
        try:
            return self.model.predict(features, series)
        except MODEL_FAULTS:
            return None

    def _learn(self, features: FeatureRow, target: float, series: str) -> None:
        try:
            self.model.learn(features, target, series)
        # The row is in the log for good: every replica skips it alike, so their models stay equal.
        except MODEL_FAULTS as fault:
            self.rows_refused += 1
            self.trouble = f"{type(fault).__name__}: {fault}"
        else:
            self.rows_learned += 1
            # Only of rows that were learned: others must not widen the limits of the guard.
            self.stats.learn(features, target)

    def _score(self, series: str, predicted: float | None, target: float | None) -> None:
        if predicted is None or target is None:
            return
        scores = self.scores.get(series)
        if scores is None:
            scores = self.scores[series] = _SCORES[self.outcome]()
        scores.add(predicted, target)

    def _pause_or_resume(self, event: Event, reread: Reread) -> None:
        """Pauses learning, or resumes it and learns the rows in between."""
        if event.kind == "pause":
            self.paused_at = event.seq if self.paused_at is None else self.paused_at
        elif self.paused_at is not None:
            self.replay(reread(self.paused_at, event.seq - 1))
            self.paused_at = None
