"""The gate: which contender is champion, decided from predictions that were made before their labels were known.

`decide` is a pure function: it knows no model, no database and no stored metric. Champion and challenger are compared
on the same rows, as paired loss differences in order of date (`training.promotion.comparisons`,
`training.evaluation.e_values`).

- *Several challengers* share alpha (`training.evaluation.e_values.shared`), and a smaller mean loss is required too.
- *Fresh rows only.* The rows by which a champion was chosen are no evidence against it: evidence begins after the
  newest row that the decision which made it champion looked at.
- *No leak.* A row counts only when both predictions were made by models that had learned nothing of its date.
- *Probation.* For a while after a change the previous champion needs no more than 1/alpha to be champion again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, Literal

from core.config.tasks import Gate
from training.evaluation.e_values import Evidence, shared
from training.evaluation.scoreboard import Scoreboard
from training.ledger.decisions import BOOTSTRAP as BOOTSTRAP
from training.ledger.decisions import PROMOTE as PROMOTE
from training.promotion.comparisons import Pair, Ranking
from training.promotion.inputs import GateInput
from training.promotion.state import GateState, PairKey, is_fixed

Outcome = Literal["PROMOTE", "HOLD", "REJECT", "BOOTSTRAP"]
HOLD: Final = "HOLD"
REJECT: Final = "REJECT"
SUCCESSION, REFRESH, GUARD, LOST, STALE = "succession", "refresh", "guard", "champion_lost", "stale"

# Evidence worth following; below it the mean loss orders the challengers, so that noise does not move the alias.
_LEADS_BY_EVIDENCE = 2.0


@dataclass(frozen=True)
class Comparison:
    """A challenger against the champion, on the rows of its tenure that both predicted.

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
    """The decision with its machine-readable reason, the contenders that hold the aliases after it, and its evidence.

    `ranking`: mean loss by contender, the best first, over the rows that all of them predicted. `beats_baseline`: for
    each contender `yes`, `no` or `unproven`, by the same evidence over all scored rows, at alpha either way. `judged`:
    the contender whose version was promoted or rejected. `state`: what the next decision goes on from.
    """

    outcome: Outcome
    reason: str
    champion: str | None
    challenger: str | None
    judged: str | None = None
    comparisons: tuple[Comparison, ...] = ()
    ranking: Mapping[str, float] = field(default_factory=dict)
    beats_baseline: Mapping[str, str] = field(default_factory=dict)
    state: GateState = field(default_factory=GateState)


@dataclass(frozen=True)
class _Contest:
    """What is judged: the input, the rows, and what earlier decisions left."""

    given: GateInput
    board: Scoreboard
    state: GateState

    @property
    def gate(self) -> Gate:
        return self.given.gate

    @property
    def champion(self) -> str | None:
        return self.given.champion

    @property
    def since(self) -> date | None:
        return self.given.tenure.since

    @property
    def eligible(self) -> list[str]:
        """The contenders on the scoreboard that may become champion, and the champion."""
        return [name for name in self.board.tracks if name in self.given.eligible]


def decide(given: GateInput, board: Scoreboard, state: GateState) -> Verdict:
    """Make exactly one of the decisions BOOTSTRAP, PROMOTE (`succession`, `refresh`, `guard`), REJECT and HOLD.

    Args:
        given: everything the decision depends on besides rows and earlier decisions.
        board: the rows; it may begin at any row that `state` has not counted, without a whole ranking at the first.
        state: what earlier decisions left.

    """
    contest = _Contest(given, board, state)
    ranking = _ranking(contest)
    means = {name: mean for name, mean in ranking.means.items() if name in contest.eligible}
    beats, of_baseline = _against_baseline(contest)
    champion = contest.champion
    if champion is None:
        outcome, reason, first, second = _bootstrap(contest, means)
        return Verdict(outcome, reason, first, second, first, (), means, beats, GateState(of_baseline, ranking))

    pairs = {name: _pair(contest, champion, name, contest.since) for name in contest.eligible if name != champion}
    comparisons = _comparisons(contest, pairs)
    # What could be promoted comes first, then the strongest evidence: the order is that of the challenger alias too.
    comparisons.sort(key=lambda one: (-_lead(one), means.get(one.challenger, float("inf"))))
    better = [one for one in comparisons if one.reason == "better"]
    leader = next(iter([*better, *comparisons]), None)
    returning = _probation(contest)
    outcome, reason, judged = _verdict(contest, leader, returning)
    winner = judged if outcome == PROMOTE and judged is not None else champion
    challenger = leader.challenger if leader else None
    # The former champion competes again at once, so it may be the challenger.
    if reason == SUCCESSION:
        challenger = next((name for name in means if name != winner), champion)
    elif reason == GUARD and winner != champion:
        challenger = champion
    kept = _pairs_of_tenure(contest) | of_baseline
    kept |= {(champion, name, contest.since): pair for name, pair in pairs.items()}
    if returning is not None and given.probation is not None:
        kept[champion, given.probation.against, given.probation.since] = returning
    return Verdict(
        outcome, reason, winner, challenger, judged, tuple(comparisons), means, beats, GateState(kept, ranking)
    )


def _bootstrap(contest: _Contest, means: Mapping[str, float]) -> tuple[Outcome, str, str | None, str | None]:
    given = contest.given
    # A person took the champion away, or MLflow lost it: choosing another one would hide that.
    if given.is_pinned:
        return HOLD, LOST if given.is_lost else "pinned", None, None
    valid = [name for name in means if name not in given.failed_validation]
    if _is_stale(contest):
        return HOLD, STALE, None, None
    if not means:
        return HOLD, "too_few_rows", None, None
    if not valid:
        return REJECT, given.failed_validation[next(iter(means))], None, None
    best, second, *_ = [*valid, None]
    return BOOTSTRAP, "best_backtest", best, second


def _verdict(contest: _Contest, leader: Comparison | None, returning: Pair | None) -> tuple[Outcome, str, str | None]:
    """Return outcome, reason, and the contender whose version is promoted or rejected.

    The order of the rules is their rank: what a person did comes first, then whether the rows can be trusted at all,
    then the way back to the previous champion, which is open for a short time only, then a better contender.
    """
    given, champion = contest.given, contest.champion
    if given.is_pinned:
        return HOLD, "pinned", None
    if champion is None or champion not in contest.board.tracks or (leader and leader.reason == "champion_unscorable"):
        return HOLD, "champion_unscorable", None
    if _is_stale(contest):
        return HOLD, STALE, None
    previous = None if given.probation is None else given.probation.against
    # The previous champion is compared with one rival only, so its evidence is not shared with the challengers.
    is_proven = returning is not None and _is_proven(contest.gate, returning, returning.evidence.e_value)
    if is_proven and previous not in given.failed_validation:
        return PROMOTE, GUARD, previous
    if leader and leader.reason == "better":
        if leader.challenger in given.failed_validation:
            return REJECT, given.failed_validation[leader.challenger], leader.challenger
        return PROMOTE, SUCCESSION, leader.challenger
    if given.newer_version is not None:
        if champion in given.failed_validation:
            return REJECT, given.failed_validation[champion], champion
        if given.harm >= 1 / contest.gate.alpha:
            return REJECT, "harm", champion
        return PROMOTE, REFRESH, champion
    return HOLD, leader.reason if leader else "no_challenger", None


def _comparisons(contest: _Contest, pairs: Mapping[str, Pair]) -> list[Comparison]:
    # Those of earlier sessions that are no longer eligible count as well: they have used of alpha.
    ever = {name: pair for (_, name, _), pair in _pairs_of_tenure(contest).items()}
    worth = shared({name: pair.evidence.e_value for name, pair in {**ever, **pairs}.items()})
    return [_comparison(contest.gate, name, pair, worth[name]) for name, pair in pairs.items()]


def _pairs_of_tenure(contest: _Contest) -> dict[PairKey, Pair]:
    """Select the pairs of this tenure that are known so far, also of challengers that are no longer eligible."""
    return {
        key: pair
        for key, pair in contest.state.pairs.items()
        if key[0::2] == (contest.champion, contest.since) and not is_fixed(key[1])
    }


def _comparison(gate: Gate, name: str, pair: Pair, worth: float) -> Comparison:
    # The reasons that more rows cannot mend come first, so that waiting for rows is never advised in vain.
    if pair.seen and (not pair.champion_predicted or pair.champion_missing >= max(gate.min_rows, 1)):
        reason = "champion_unscorable"
    elif pair.seen and not pair.challenger_predicted:
        reason = "challenger_unscorable"
    elif pair.leaking:
        reason = "overlap"
    elif pair.rows and not pair.differing:
        reason = "identical"
    elif pair.rows < gate.min_rows:
        reason = "too_few_rows"
    elif gate.rule == "margin":
        reason = "better" if pair.champion_mean - pair.challenger_mean > gate.margin else "within_margin"
    else:
        reason = "better" if _is_proven(gate, pair, worth) else "not_enough_evidence"
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
        1 / gate.alpha,
    )


def _is_stale(contest: _Contest) -> bool:
    return contest.gate.max_staleness is not None and (contest.given.age_days or 0) > contest.gate.max_staleness


def _is_proven(gate: Gate, pair: Pair, worth: float) -> bool:
    return not pair.leaking and worth >= 1 / gate.alpha and pair.challenger_mean < pair.champion_mean


def _probation(contest: _Contest) -> Pair | None:
    """Compare the previous champion with the champion; None when its probation is over."""
    probation, champion = contest.given.probation, contest.champion
    if probation is None or champion is None or probation.against not in contest.board.tracks:
        return None
    # The probation counts labelled rows, not predicted ones: a previous champion that is silent must not stay forever.
    pair = _pair(contest, champion, probation.against, probation.since)
    return pair if pair.seen <= contest.gate.probation else None


def _against_baseline(contest: _Contest) -> tuple[dict[str, str], dict[PairKey, Pair]]:
    """Tell for each contender whether it beats the baseline, from pairs in both directions."""
    baseline, probation = contest.given.baseline, contest.given.probation
    if baseline not in contest.board.tracks:
        return {}, {}
    answers: dict[str, str] = {}
    pairs: dict[PairKey, Pair] = {}
    enough = 1 / contest.gate.alpha
    for name in contest.board.tracks:
        is_only_watched = probation is not None and name == probation.against not in contest.eligible
        if name == baseline or is_only_watched:
            continue
        # Evidence for one side says nothing for the other, so each direction has its own pair.
        better, worse = _pair(contest, baseline, name, None), _pair(contest, name, baseline, None)
        pairs[baseline, name, None], pairs[name, baseline, None] = better, worse
        is_worse = not worse.leaking and worse.evidence.e_value >= enough
        is_better = not better.leaking and better.evidence.e_value >= enough
        answers[name] = "no" if is_worse else "yes" if is_better else "unproven"
    return {baseline: "no", **answers}, pairs


def _ranking(contest: _Contest) -> Ranking:
    # Another set of contenders has other common rows, so sums cannot be carried over.
    ranking = contest.state.ranking
    if ranking is not None and set(ranking.losses or ()) == set(contest.eligible):
        return ranking.after(contest.board, contest.given.metric)
    tracks = {name: contest.board.tracks[name] for name in contest.eligible}
    return Ranking.of(replace(contest.board, tracks=tracks), contest.given.metric, contest.gate.min_rows)


def _pair(contest: _Contest, champion: str, challenger: str, since: date | None) -> Pair:
    known = contest.state.pairs.get((champion, challenger, since), Pair(since, Evidence(contest.gate.block)))
    return known.after(contest.board, contest.given.metric, champion, challenger)


def _lead(one: Comparison) -> float:
    return one.e_value if one.e_value >= _LEADS_BY_EVIDENCE else 0.0
