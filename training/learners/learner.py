"""A learner: a model, its scores, and the place in the event log up to which both have come.

It is a function of the log alone: whoever applies the same events in the same order holds the same learner, to the
bit. Of each row it predicts, then scores, then learns.
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
"""Reads events again: those after the first number, up to and with the second."""


MODEL_FAULTS = (ArithmeticError, LookupError, TypeError, ValueError)
"""What a model may raise at a row that it cannot take. The row stays in the log; every replica passes over it alike."""


class GapError(Exception):
    """An event that does not follow the last one applied: the caller has to read what lies between."""


class Learner:
    """One contender on one log, after the event `seq`.

    `said` holds, by event, what was predicted since the newest checkpoint that the caller knows of; what is older is
    in the database. While learning is paused (`paused_at`) rows are predicted and scored; when it is resumed, what
    came in between is learned, in order. A row at which the model itself fails is counted in `rows_refused`, and
    `trouble` says how it failed last.
    """

    def __init__(self, model: Online, outcome: TargetKind) -> None:
        self.model = model
        self.outcome = outcome
        self.seq = 0
        self.rows_learned = 0
        self.rows_refused = 0
        self.trouble = ""
        self.paused_at: int | None = None
        self.ranges = RunningStats()
        self.scores: dict[str, Scores] = {}
        self.said: dict[int, float | None] = {}

    def apply(self, events: Iterable[Event], reread: Reread) -> None:
        """Goes through events in order; those applied before are passed over. Raises GapError at a missing one."""
        said = self.said
        for event in events:
            seq = event.seq
            if seq <= self.seq:
                continue
            if seq != self.seq + 1:
                raise GapError(f"event {seq} came after event {self.seq}")
            features, target = event.features, event.target
            if features is None:
                if event.kind in ("pause", "resume"):
                    self._turn(event, reread)
            else:
                series = event.series_id or DEFAULT_SERIES
                if event.kind == "label":
                    self._score(series, said.get(event.ref_seq or 0, event.said), target)
                else:
                    said[seq] = value = self.ask(features, series)
                    if event.kind == "row":
                        self._score(series, value, target)
                if target is not None and self.paused_at is None:
                    self._learn(features, target, series)
            self.seq = seq

    def replay(self, events: Iterable[Event]) -> None:
        """Learns from events without predicting or scoring: for a model that is only wanted as it stands at the end."""
        for event in events:
            features, target = event.features, event.target
            if features is not None and target is not None:
                self._learn(features, target, event.series_id or DEFAULT_SERIES)

    def forget_said(self, through: int) -> None:
        """Drops what was said up to an event: it is stored."""
        self.said = {seq: value for seq, value in self.said.items() if seq > through}

    def report(self) -> dict[str, dict[str, Any]]:
        """The figures of every series."""
        return {series: scores.report() for series, scores in self.scores.items()}

    def empty_report(self) -> dict[str, Any]:
        """The figures of a series that has none."""
        return _SCORES[self.outcome]().report()

    def freeze(self) -> bytes:
        """Bytes for `thaw`: the learner without what it said."""
        held = {name: value for name, value in vars(self).items() if name != "said"}
        return dumps(held)

    @classmethod
    def thaw(cls, content: bytes) -> "Learner":
        """The learner whose bytes these are. It unpickles: check digest and stamp first."""
        held = deserialize(content)
        learner = cls(held["model"], held["outcome"])
        vars(learner).update(held)
        return learner

    def ask(self, features: FeatureRow, series: str) -> float | None:
        """What the model says of a row, None where it fails at it. Nothing is kept of it."""
        try:
            return self.model.predict(features, series)
        except MODEL_FAULTS:
            return None

    def _learn(self, features: FeatureRow, target: float, series: str) -> None:
        try:
            self.model.learn(features, target, series)
        except MODEL_FAULTS as fault:
            self.rows_refused += 1
            self.trouble = f"{type(fault).__name__}: {fault}"
        else:
            self.rows_learned += 1
            self.ranges.learn(features, target)

    def _score(self, series: str, said: float | None, target: float | None) -> None:
        if said is None or target is None:
            return
        scores = self.scores.get(series)
        if scores is None:
            scores = self.scores[series] = _SCORES[self.outcome]()
        scores.add(said, target)

    def _turn(self, event: Event, reread: Reread) -> None:
        """Pauses learning, or resumes it and learns what came meanwhile."""
        if event.kind == "pause":
            self.paused_at = event.seq if self.paused_at is None else self.paused_at
        elif self.paused_at is not None:
            self.replay(reread(self.paused_at, event.seq - 1))
            self.paused_at = None
