"""The gate: who is champion, decided from predictions that were made before their labels were known.

`decide` is a pure function of a `Case`; it knows no model, no database and no stored metric. Champion and challenger
are compared on the same rows, as paired loss differences in order of date (`training.promotion.comparisons`,
`training.evaluation.e_values`).

- *Several challengers* share alpha (`training.evaluation.e_values.shared`), and a smaller mean loss is asked for as
  well.
- *Fresh rows only.* The rows by which a champion was chosen are no evidence against it: evidence begins after `since`,
  the last row that the crowning looked at.
- *No leak.* A row counts only when both predictions were made by models that had learned nothing of its date.
- *The guard.* For a while after a move the one who had the title before needs no more than 1/alpha to have it back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, Literal

from core.config.tasks import Gate
from training.evaluation.board import Scoreboard
from training.evaluation.e_values import Evidence, Metric, shared
from training.promotion.comparisons import Pair
from training.promotion.ranking import Ranking
from training.promotion.reign import is_fixed

Outcome = Literal["PROMOTE", "HOLD", "REJECT", "BOOTSTRAP"]
BOOTSTRAP: Final = "BOOTSTRAP"
PROMOTE: Final = "PROMOTE"
HOLD: Final = "HOLD"
REJECT: Final = "REJECT"
SUCCESSION, REFRESH, GUARD, LOST, STALE = "succession", "refresh", "guard", "champion_lost", "stale"
Meeting = tuple[str, str, date | None]
"""Champion, challenger, and the date after which rows count."""

_LEADS_BY_EVIDENCE = 2.0


@dataclass(frozen=True)
class GateState:
    """What earlier nights left: what is known of each pair, and the ranking."""

    pairs: Mapping[Meeting, Pair] = field(default_factory=dict)
    ranking: Ranking | None = None


@dataclass(frozen=True)
class Probation:
    """Who had the title before: `against` is its name on the board, which goes on predicting; rows after `since`."""

    against: str
    since: date | None


@dataclass(frozen=True)
class Case:
    """What is to be decided.

    `board` may begin at any row that `carried` has not looked at; without a ranking of all who stand, at the first.
    `pinned`: a person moved the champion, so it stays;
    `lost`: the registry has lost it, and nobody is crowned until a person says so. `since`: the last date that the
    crowning looked at.
    `unfit`: of contenders whose newest version could not be served, what is wrong with it; `has_newer`: whether the
    champion's contender has a newer version than the one that serves, and `harm` the evidence that its twin does worse
    than that one. `stands`: who may be crowned (everybody on the board unless told); `age_days` of the newest row.
    """

    board: Scoreboard
    metric: Metric
    gate: Gate
    champion: str | None
    since: date | None = None
    pinned: bool = False
    lost: bool = False
    has_newer: bool = False
    harm: float = 0.0
    unfit: Mapping[str, str] = field(default_factory=dict)
    probation: Probation | None = None
    baseline: str | None = None
    stands: frozenset[str] | None = None
    age_days: int | None = None
    carried: GateState = field(default_factory=GateState)

    @property
    def standing(self) -> list[str]:
        """Those who may be crowned, the champion among them."""
        return [name for name in self.board.tracks if self.stands is None or name in self.stands]


@dataclass(frozen=True)
class Comparison:
    """A challenger against the champion, on the rows after `since` that both predicted.

    `e_value`: the evidence that it is better; `shared`: what that is worth among all challengers, against `needed`.
    """

    challenger: str
    reason: str
    rows: int
    first: date | None
    last: date | None
    rows_hash: str
    champion_loss: float
    challenger_loss: float
    e_value: float
    shared: float
    needed: float


@dataclass(frozen=True)
class Verdict:
    """The decision with its machine-readable reason, who holds which alias after it, and what it stands on.

    `ranking`: mean loss by contender, best first, over the rows that all of them predicted. `beats_baseline`: for each
    contender `yes`, `no` or `unproven`, by the same evidence over all scored rows, at alpha either way. `judged`: whose
    version was let in or rejected.
    """

    outcome: Outcome
    reason: str
    champion: str | None
    challenger: str | None
    judged: str | None = None
    comparisons: tuple[Comparison, ...] = ()
    ranking: Mapping[str, float] = field(default_factory=dict)
    beats_baseline: Mapping[str, str] = field(default_factory=dict)
    carried: GateState = field(default_factory=GateState)


def decide(case: Case) -> Verdict:
    """Exactly one of BOOTSTRAP, PROMOTE (`succession`, `refresh`, `guard`), REJECT and HOLD."""
    ranking = _ranking(case)
    means = {name: mean for name, mean in ranking.means.items() if name in case.standing}
    beats, of_baseline = _against_baseline(case)
    if case.champion is None:
        outcome, reason, champion, challenger = _bootstrap(case, means)
        return Verdict(
            outcome, reason, champion, challenger, champion, (), means, beats, GateState(of_baseline, ranking)
        )

    pairs = {name: _pair(case, case.champion, name, case.since) for name in case.standing if name != case.champion}
    comparisons = _comparisons(case, pairs)
    comparisons.sort(key=lambda one: (-_leading(one), means.get(one.challenger, float("inf"))))
    better = [one for one in comparisons if one.reason == "better"]
    leader = next(iter([*better, *comparisons]), None)
    back = _probation(case)
    outcome, reason, judged = _verdict(case, leader, back)
    champion = judged if outcome == PROMOTE and judged is not None else case.champion
    challenger = leader.challenger if leader else None
    if reason == SUCCESSION:
        challenger = next((name for name in means if name != champion), case.champion)
    elif reason == GUARD and champion != case.champion:
        challenger = case.champion
    kept = _stood(case) | of_baseline | {(case.champion, name, case.since): pair for name, pair in pairs.items()}
    if back is not None and case.probation is not None:
        kept[case.champion, case.probation.against, case.probation.since] = back
    return Verdict(
        outcome, reason, champion, challenger, judged, tuple(comparisons), means, beats, GateState(kept, ranking)
    )


def _bootstrap(case: Case, means: Mapping[str, float]) -> tuple[Outcome, str, str | None, str | None]:
    if case.pinned:
        return HOLD, LOST if case.lost else "pinned", None, None
    able = [name for name in means if name not in case.unfit]
    if _is_stale(case):
        return HOLD, "stale", None, None
    if not means:
        return HOLD, "too_few_rows", None, None
    if not able:
        return REJECT, case.unfit[next(iter(means))], None, None
    best, second, *_ = [*able, None]
    return BOOTSTRAP, "best_backtest", best, second


def _verdict(case: Case, leader: Comparison | None, back: Pair | None) -> tuple[Outcome, str, str | None]:
    """Outcome, reason, and whose version is let in or rejected."""
    if case.pinned:
        return HOLD, "pinned", None
    if (
        case.champion is None
        or case.champion not in case.board.tracks
        or (leader and leader.reason == "champion_unscorable")
    ):
        return HOLD, "champion_unscorable", None
    if _is_stale(case):
        return HOLD, "stale", None
    guardian = None if case.probation is None else case.probation.against
    if back is not None and guardian not in case.unfit and _is_proven(case.gate, back, back.evidence.e_value):
        return PROMOTE, GUARD, guardian
    if leader and leader.reason == "better":
        if leader.challenger in case.unfit:
            return REJECT, case.unfit[leader.challenger], leader.challenger
        return PROMOTE, SUCCESSION, leader.challenger
    if case.has_newer:
        if case.champion in case.unfit:
            return REJECT, case.unfit[case.champion], case.champion
        if case.harm >= 1 / case.gate.alpha:
            return REJECT, "harm", case.champion
        return PROMOTE, REFRESH, case.champion
    return HOLD, leader.reason if leader else "no_challenger", None


def _comparisons(case: Case, pairs: Mapping[str, Pair]) -> list[Comparison]:
    stood = {name: pair for (_, name, _), pair in _stood(case).items()}
    worth = shared({name: pair.evidence.e_value for name, pair in {**stood, **pairs}.items()})
    return [_comparison(case, name, pair, worth[name]) for name, pair in pairs.items()]


def _stood(case: Case) -> dict[Meeting, Pair]:
    """The pairs of this reign so far, those among them who do not stand any more: they have used of alpha as well."""
    return {
        meeting: pair
        for meeting, pair in case.carried.pairs.items()
        if meeting[0::2] == (case.champion, case.since) and not is_fixed(meeting[1])
    }


def _comparison(case: Case, name: str, pair: Pair, worth: float) -> Comparison:
    """A pair as it is told, and what it amounts to."""
    if pair.seen and (not pair.champion_said or pair.champion_silent >= max(case.gate.min_rows, 1)):
        reason = "champion_unscorable"
    elif pair.seen and not pair.challenger_said:
        reason = "challenger_unscorable"
    elif pair.leaking:
        reason = "overlap"
    elif pair.rows and not pair.differing:
        reason = "identical"
    elif pair.rows < case.gate.min_rows:
        reason = "too_few_rows"
    elif case.gate.rule == "margin":
        reason = "better" if pair.champion_mean - pair.challenger_mean > case.gate.margin else "within_margin"
    else:
        reason = "better" if _is_proven(case.gate, pair, worth) else "not_enough_evidence"
    return Comparison(
        name,
        reason,
        pair.rows,
        pair.first,
        pair.last,
        pair.rows_hash,
        pair.champion_mean,
        pair.challenger_mean,
        pair.evidence.e_value,
        worth,
        1 / case.gate.alpha,
    )


def _is_stale(case: Case) -> bool:
    return case.gate.max_staleness is not None and (case.age_days or 0) > case.gate.max_staleness


def _is_proven(gate: Gate, pair: Pair, worth: float) -> bool:
    return not pair.leaking and worth >= 1 / gate.alpha and pair.challenger_mean < pair.champion_mean


def _probation(case: Case) -> Pair | None:
    """How the one who had the title before does against the champion; None when its probation is over."""
    if case.probation is None or case.champion is None or case.probation.against not in case.board.tracks:
        return None
    pair = _pair(case, case.champion, case.probation.against, case.probation.since)
    return pair if pair.seen <= case.gate.probation else None


def _against_baseline(case: Case) -> tuple[dict[str, str], dict[Meeting, Pair]]:
    if case.baseline is None or case.baseline not in case.board.tracks:
        return {}, {}
    answers: dict[str, str] = {}
    pairs: dict[Meeting, Pair] = {}
    enough = 1 / case.gate.alpha
    for name in case.board.tracks:
        if name == case.baseline or (
            case.probation is not None and name == case.probation.against not in case.standing
        ):
            continue
        for_it, against_it = _pair(case, case.baseline, name, None), _pair(case, name, case.baseline, None)
        pairs[case.baseline, name, None], pairs[name, case.baseline, None] = for_it, against_it
        is_worse = not against_it.leaking and against_it.evidence.e_value >= enough
        is_better = not for_it.leaking and for_it.evidence.e_value >= enough
        answers[name] = "no" if is_worse else "yes" if is_better else "unproven"
    return {case.baseline: "no", **answers}, pairs


def _ranking(case: Case) -> Ranking:
    ranking = case.carried.ranking
    if ranking is not None and set(ranking.losses or ()) == set(case.standing):
        return ranking.after(case.board, case.metric)
    tracks = {name: case.board.tracks[name] for name in case.standing}
    return Ranking.of(replace(case.board, tracks=tracks), case.metric, case.gate.min_rows)


def _pair(case: Case, champion: str, challenger: str, since: date | None) -> Pair:
    before = case.carried.pairs.get((champion, challenger, since), Pair(since, Evidence(case.gate.block)))
    return before.after(case.board, case.metric, champion, challenger)


def _leading(one: Comparison) -> float:
    """Evidence worth following; below it the mean loss says who leads, so that noise does not move the alias."""
    return one.e_value if one.e_value >= _LEADS_BY_EVIDENCE else 0.0
