"""The gate: who is champion, decided from predictions that were made before their labels were known.

`decide` is a pure function of a `Case`; it knows no model, no database and no stored metric. Champion and challenger
are compared on the same rows, as paired loss differences in order of date (`training.evidence`).

- *Several challengers* share alpha: each must bring evidence of challengers/alpha, and a smaller mean loss as well.
- *Fresh rows only.* The rows by which a champion was chosen are no evidence against it: evidence begins after `since`,
  the last row that the crowning looked at.
- *No leak.* A row counts only when both predictions were made by models that had learned nothing of its date.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.tasks import Gate
from training.evidence import Metric, bound, capital, loss, rows_hash
from training.history import Days
from training.procedures import Floats

Outcome = Literal["PROMOTE", "HOLD", "REJECT", "BOOTSTRAP"]

_LEADS_BY_EVIDENCE = 2.0


@dataclass(frozen=True)
class Track:
    """What one contender predicted on the rows of a board, and what it had learned when it did."""

    values: Floats  # (n,); NaN: no prediction
    trained_through: Days  # (n,); NaT: untrained


@dataclass(frozen=True)
class Board:
    """Rows whose label is known, in order of date, with every contender's predictions."""

    target_dates: Days
    labels: Floats
    tracks: Mapping[str, Track]


@dataclass(frozen=True)
class Case:
    """What is to be decided. `since` is the last date the crowning looked at; `refresh` how a newer version looks."""

    board: Board
    metric: Metric
    gate: Gate
    champion: str | None
    since: np.datetime64 | None = None
    pinned: bool = False
    refresh: Literal["none", "sane", "not_sane"] = "none"


@dataclass(frozen=True)
class Comparison:
    """A challenger against the champion, on the rows after `since` that both predicted."""

    challenger: str
    reason: str
    rows: int
    first: str
    last: str
    rows_hash: str
    champion_loss: float
    challenger_loss: float
    e_value: float


@dataclass(frozen=True)
class Verdict:
    """The decision with its machine-readable reason, who holds which alias after it, and what it stands on.

    `ranking`: mean loss by contender, best first, over the rows that all of them predicted.
    """

    outcome: Outcome
    reason: str
    champion: str | None
    challenger: str | None
    comparisons: tuple[Comparison, ...] = ()
    ranking: Mapping[str, float] = field(default_factory=dict)


def decide(case: Case) -> Verdict:
    """Exactly one of BOOTSTRAP, PROMOTE (`succession`, `refresh`), REJECT and HOLD."""
    ranking = rank(case.board, case.metric, case.gate.min_rows)
    if case.champion is None and not case.pinned:
        if not ranking:
            return Verdict("HOLD", "too_few_rows", None, None)
        best, second, *_ = [*ranking, None]
        return Verdict("BOOTSTRAP", "best_backtest", best, second, (), ranking)

    comparisons = [compare(case, name) for name in case.board.tracks if name != case.champion]
    comparisons.sort(key=lambda one: (-_leading(one.e_value), ranking.get(one.challenger, np.inf)))
    leader = comparisons[0] if comparisons else None
    outcome, reason = _verdict(case, leader)
    champion, challenger = case.champion, leader.challenger if leader else None
    if reason == "succession":
        champion = challenger
        challenger = next((name for name in ranking if name != champion), case.champion)
    return Verdict(outcome, reason, champion, challenger, tuple(comparisons), ranking)


def _verdict(case: Case, leader: Comparison | None) -> tuple[Outcome, str]:
    if case.pinned:
        return "HOLD", "pinned"
    if case.champion not in case.board.tracks or (leader and leader.reason == "champion_unscorable"):
        return "HOLD", "champion_unscorable"
    if leader and leader.reason == "better":
        return "PROMOTE", "succession"
    if case.refresh != "none":
        return ("PROMOTE", "refresh") if case.refresh == "sane" else ("REJECT", "refresh_not_sane")
    return "HOLD", leader.reason if leader else "no_challenger"


def compare(case: Case, challenger: str) -> Comparison:
    """The evidence that a challenger is better than the champion, and what it amounts to."""
    board, gate = case.board, case.gate
    after = np.ones(len(board.labels), bool) if case.since is None else board.target_dates > case.since
    nobody = Track(np.full(len(board.labels), np.nan), np.full(len(board.labels), np.datetime64("NaT", "D")))
    mine, theirs = board.tracks[challenger], board.tracks.get(case.champion or "", nobody)
    rows = after & np.isfinite(mine.values) & np.isfinite(theirs.values)
    dates, labels = board.target_dates[rows], board.labels[rows]
    champion_losses, losses = (loss(case.metric, labels, track.values[rows]) for track in (theirs, mine))
    bounds = bound(case.metric, theirs.values[rows], mine.values[rows])
    e_value = capital(champion_losses - losses, bounds, gate.block)
    if after.any() and not np.isfinite(theirs.values[after]).any():
        reason = "champion_unscorable"
    elif after.any() and not np.isfinite(mine.values[after]).any():
        reason = "challenger_unscorable"
    elif any((track.trained_through[rows] >= dates).any() for track in (mine, theirs)):
        reason = "overlap"
    elif len(dates) and np.array_equal(mine.values[rows], theirs.values[rows]):
        reason = "identical"
    elif len(dates) < gate.min_rows:
        reason = "too_few_rows"
    else:
        rivals = len(board.tracks) - (case.champion in board.tracks)
        is_better = e_value >= rivals / gate.alpha and losses.mean() < champion_losses.mean()
        reason = "better" if is_better else "not_enough_evidence"
    first, last = (str(dates[0]), str(dates[-1])) if len(dates) else ("", "")
    return Comparison(
        challenger, reason, len(dates), first, last, rows_hash(dates), _mean(champion_losses), _mean(losses), e_value
    )


def rank(board: Board, metric: Metric, min_rows: int) -> dict[str, float]:
    """Mean loss by contender, best first, over the rows that all of them predicted.

    A contender that leaves fewer than `min_rows` such rows, having predicted the fewest, is left out.
    """
    tracks = dict(board.tracks)
    while tracks:
        common = np.all([np.isfinite(track.values) for track in tracks.values()], axis=0)
        if common.sum() >= max(min_rows, 1):
            means = {name: _mean(loss(metric, board.labels, track.values)[common]) for name, track in tracks.items()}
            return dict(sorted(means.items(), key=lambda item: item[1]))
        del tracks[min(tracks, key=lambda name: int(np.isfinite(tracks[name].values).sum()))]
    return {}


def beats_baseline(board: Board, metric: Metric, gate: Gate, baseline: str) -> dict[str, str]:
    """For each contender `yes`, `no` or `unproven`, by the same evidence over all scored rows, at alpha either way."""
    answers = {}
    for name in board.tracks:
        for_it, against_it = (
            compare(Case(board, metric, gate, champion), challenger).e_value
            for champion, challenger in ((baseline, name), (name, baseline))
        )
        enough = 1 / gate.alpha
        answers[name] = "no" if name == baseline or against_it >= enough else "yes" if for_it >= enough else "unproven"
    return answers


def _leading(e_value: float) -> float:
    """Evidence worth following; below it the mean loss says who leads, so that noise does not move the alias."""
    return e_value if e_value >= _LEADS_BY_EVIDENCE else 0.0


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
