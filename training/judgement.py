"""From what is stored to a case for the gate, and from its verdict to the decision with its evidence."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

import numpy as np

from core.tasks import Task
from training import decisions, gate, predictions, versions
from training.decisions import Decision
from training.evidence import rows_hash
from training.gate import Board, Case, Verdict
from training.ledger import CHAMPION
from training.moves import Reconciled
from training.versions import Version
from training.workplace import Workplace


@dataclass(frozen=True)
class Situation:
    """All that a decision depends on, read once.

    `newest`: the newest version of each contender that has one; `champion`: the version that holds the alias, None
    when nobody does or when it is not one of ours.
    """

    task: Task
    series: str
    newest: Mapping[str, Version]
    aliases: Reconciled
    champion: Version | None
    board: Board
    last: Decision | None

    @classmethod
    def read(
        cls, at: Workplace, task: Task, series: str, newest: Mapping[str, Version], aliases: Reconciled
    ) -> "Situation":
        """Reads the champion, the scoreboard with the labels known by now, and the last decision."""
        number = aliases.aliases.get(CHAMPION)
        champion = None if number is None else versions.find(at.engine, task.name, number)
        scored = predictions.scored(task, predictions.scoreboard(at.engine, task, series, at.clock.now()))
        last = decisions.newest(at.engine, task.name)
        return cls(task, series, newest, aliases, champion, predictions.board(scored), last)

    @property
    def is_pinned(self) -> bool:
        """Whether a person moved the champion, so that it stays."""
        return CHAMPION in self.aliases.pinned

    @property
    def incumbent(self) -> str | None:
        """The champion's name on the board; None when there is none, or when it is of another series.

        A champion whose declaration has changed since is named with its old hash, which no board has.
        """
        if self.champion is None or self.champion.series != self.series:
            return None
        contender = self.champion.contender
        is_declared = contender in self.task.contenders and (
            self.task.contender_hash(contender) == self.champion.contender_hash
        )
        return contender if is_declared else f"{contender}@{self.champion.contender_hash}"

    @property
    def refresh(self) -> Literal["none", "sane", "not_sane"]:
        """Whether the champion's contender has a newer version, and how it looks."""
        newest = self.newest.get(self.incumbent or "")
        if newest is None or self.champion is None or newest.trained_through <= self.champion.trained_through:
            return "none"
        return "sane" if is_sane(self.task, newest) else "not_sane"

    @property
    def since(self) -> date | None:
        """The last date that the champion's crowning looked at.

        The decisions carry it on. A champion that came otherwise, by hand, reigns from the newest scored row on.
        """
        reign = {} if self.last is None else self.last.evidence["reign"]
        if self.incumbent is not None and (reign.get("champion"), reign.get("series")) == (self.incumbent, self.series):
            return date.fromisoformat(reign["since"]) if reign["since"] else None
        return self.through

    @property
    def through(self) -> date | None:
        """The newest scored date."""
        dates = self.board.target_dates
        return dates[-1].item() if len(dates) else None


def is_sane(task: Task, version: Version) -> bool:
    """Whether a version predicts what can be served: finite numbers, probabilities where they are called for."""
    expected = np.array(version.golden["expected"], dtype=np.float64)
    in_range = (expected >= 0) & (expected <= 1) if task.is_classification else np.ones(len(expected), bool)
    return bool(len(expected) and (np.isfinite(expected) & in_range).all())


def case(situation: Situation) -> Case:
    """What the gate is asked. A contender stands for the title when it has a version that could be served."""
    able = {name for name, version in situation.newest.items() if is_sane(situation.task, version)}
    able |= {situation.incumbent or ""}
    board = situation.board
    tracks = {name: track for name, track in board.tracks.items() if name in able}
    return Case(
        board=Board(board.target_dates, board.labels, tracks),
        metric=situation.task.metric,
        gate=situation.task.gate,
        champion=situation.incumbent,
        since=None if situation.since is None else np.datetime64(situation.since),
        pinned=situation.is_pinned,
        refresh=situation.refresh,
    )


def decision(situation: Situation, verdict: Verdict, session_date: date) -> Decision:
    """The verdict as it is written down, with the evidence that it stands on."""
    task, board = situation.task, situation.board
    is_crowned = verdict.outcome == "BOOTSTRAP" or verdict.reason == "succession"
    since = situation.through if is_crowned else situation.since
    evidence = {
        "series": situation.series,
        "metric": task.metric,
        "gate": task.gate.model_dump(mode="json"),
        "config_hash": task.config_hash,
        "rows": len(board.labels),
        "first": str(board.target_dates[0]) if len(board.labels) else None,
        "last": str(situation.through) if len(board.labels) else None,
        "rows_hash": rows_hash(board.target_dates),
        "reign": {
            "champion": verdict.champion,
            "series": situation.series,
            "since": None if since is None else since.isoformat(),
        },
        "holder": None if situation.champion is None else _named(situation.champion),
        "versions": {name: _named(version) for name, version in situation.newest.items()},
        "mean_loss": verdict.ranking,
        "comparisons": [asdict(comparison) for comparison in verdict.comparisons],
        "beats_baseline": gate.beats_baseline(board, task.metric, task.gate, task.baseline),
    }
    return Decision(
        task.name,
        situation.series,
        session_date,
        verdict.outcome,
        verdict.reason,
        verdict.champion,
        verdict.challenger,
        _plain(evidence),
    )


def _named(version: Version) -> dict[str, Any]:
    return {
        "contender": version.contender,
        "version": version.version,
        "trained_through": version.trained_through.isoformat(),
        "data_hash": version.data_hash,
        "artifact_digest": version.artifact_digest,
    }


def _plain(value: Any) -> Any:
    """The same as JSON knows it: floats to 12 digits, and null for what is not a number."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value
